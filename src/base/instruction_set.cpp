#include "base/instruction_set.h"

#include "base/check.h"
#include "base/joined.h"

namespace gptmoe {
namespace {

std::vector<InstructionSet> compiled_instructions() {
  std::vector<InstructionSet> compiled;
#ifdef __AVX2__
  compiled.push_back({"AVX2", __builtin_cpu_supports("avx2") != 0});
#endif
#ifdef __FMA__
  compiled.push_back({"FMA", __builtin_cpu_supports("fma") != 0});
#endif
#ifdef __BMI2__
  compiled.push_back({"BMI2", __builtin_cpu_supports("bmi2") != 0});
#endif
#ifdef __AVX512F__
  compiled.push_back({"AVX-512", __builtin_cpu_supports("avx512f") != 0});
#endif
#ifdef __AVX512BF16__
  compiled.push_back({"AVX512-BF16", __builtin_cpu_supports("avx512bf16") != 0});
#endif
  return compiled;
}

}  // namespace

std::string lacking_instructions(const std::vector<InstructionSet>& compiled) {
  std::vector<std::string> lacking;
  for (const InstructionSet& set : compiled)
    if (!set.cpu_has) lacking.push_back(set.name);
  if (lacking.size() < 2) return joined(lacking);
  const std::string last = lacking.back();
  lacking.pop_back();
  return joined(lacking) + " and " + last;
}

void require_compiled_instructions() {
  const std::string lacking = lacking_instructions(compiled_instructions());
  if (!lacking.empty())
    user_error("this program was compiled for CPUs with ", lacking,
               ", which this CPU lacks; build it on this machine, ",
               "or with -DGPTMOE_NATIVE=OFF (-DCMAKE_CXX_FLAGS=-march=x86-64 for CPUs without AVX2)");
}

}  // namespace gptmoe
