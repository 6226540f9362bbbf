#pragma once
#include <functional>
#include <string>

namespace gptmoe {

// Throws UserError if this program was compiled for instructions that this CPU lacks. Without it, such a program ends
// with "Illegal instruction" somewhere.
void require_compiled_instructions();

// "AVX2 and FMA": the instruction sets for which this program was compiled and for which `cpu_has` is false; "" if
// there are none. `cpu_has` gets GCC's names ("avx2").
std::string lacking_instructions(const std::function<bool(const std::string&)>& cpu_has);

}  // namespace gptmoe
