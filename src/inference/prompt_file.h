#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace gptmoe {

struct Prompt {
  std::string text, place;  // place: where the prompt was given, for error messages
};

// The prompts of a file, in order. FILE.jsonl has a JSON object with a string "prompt" on every line; other keys are
// ignored. In any other file, each line is a prompt. Blank lines do not count. Throws UserError "FILE:LINE: ..." for a
// line that is not such an object, and "FILE: ..." for a file that cannot be read or has no prompts.
std::vector<Prompt> read_prompts(const std::filesystem::path& path);

}  // namespace gptmoe
