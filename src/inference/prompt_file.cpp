#include "inference/prompt_file.h"

#include "base/read_json.h"
#include "config/json_section.h"
#include "tokenizer/text_lines.h"

namespace gptmoe {

std::vector<Prompt> read_prompts(const std::filesystem::path& path) {
  const bool json = path.extension() == ".jsonl";
  std::vector<Prompt> prompts;
  for_each_line(path, [&](std::string_view line, int64_t number) {
    if (line.find_first_not_of(" \t") != std::string_view::npos)
      prompts.push_back({std::string(line), text(path.string(), ":", number)});
  });
  if (json)
    for (auto& [prompt, place] : prompts)
      prompt = JsonSection(parse_json_line(prompt, place), "", place).string("prompt");
  if (prompts.empty())
    user_error(path.string(), ": no prompts; it needs ",
               json ? "a JSON object with the key \"prompt\" on each line" : "a prompt on each line");
  return prompts;
}

}  // namespace gptmoe
