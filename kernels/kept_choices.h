#pragma once
// The choices between algorithms that a GPU's ops make by timing, and the ops' notes to the user. A CPU's ops choose
// nothing.
#include <filesystem>
#include <string>
#include <vector>

namespace gptmoe {

class Ops;

// Makes the ops use the choices in `file` and add their later choices to it, so that a run that continues computes the
// same bits. The file appears with the first choice.
void keep_choices(Ops& ops, const std::filesystem::path& file);

// Lines for the user about the ops' work since the last call. No line is returned twice.
std::vector<std::string> take_notes(Ops& ops);

}  // namespace gptmoe
