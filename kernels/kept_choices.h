#pragma once
// What a GPU's ops choose by timing, and what they have to say about it. Ops of a CPU choose nothing.
#include <filesystem>
#include <string>
#include <vector>

namespace gptmoe {

class Ops;

// Keeps in `file` what the ops choose from here on, and makes the choices that are there already, so that a run that
// continues computes the same bits. The file appears with the first choice.
void keep_choices(Ops& ops, const std::filesystem::path& file);

// Lines for the user about the ops' work since the last call. Each is told once.
std::vector<std::string> take_notes(Ops& ops);

}  // namespace gptmoe
