#pragma once
#include <string>
#include <vector>

namespace gptmoe {

// Instructions that this program was compiled for.
struct InstructionSet {
  std::string name;  // "AVX2"
  bool cpu_has;      // whether this CPU has them
};

// The instructions that the CPU lacks, as in "AVX2 and FMA"; "" if it lacks none.
std::string lacking_instructions(const std::vector<InstructionSet>& compiled);

// Throws UserError if this program was compiled for instructions that this CPU lacks. Without this check, such a
// program would end with "Illegal instruction" at some later point.
void require_compiled_instructions();

}  // namespace gptmoe
