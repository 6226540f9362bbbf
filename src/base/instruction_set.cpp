#include "base/instruction_set.h"

#include <utility>
#include <vector>

#include "base/check.h"

namespace gptmoe {
namespace {

using Names = std::vector<std::pair<std::string, std::string>>;  // GCC's name, the usual one

Names compiled_instructions() {
  Names names;
#ifdef __AVX2__
  names.emplace_back("avx2", "AVX2");
#endif
#ifdef __FMA__
  names.emplace_back("fma", "FMA");
#endif
#ifdef __BMI2__
  names.emplace_back("bmi2", "BMI2");
#endif
#ifdef __AVX512F__
  names.emplace_back("avx512f", "AVX-512");
#endif
#ifdef __AVX512BF16__
  names.emplace_back("avx512bf16", "AVX512-BF16");
#endif
  return names;
}

#ifdef __x86_64__
bool this_cpu_has(const std::string& name) {
  __builtin_cpu_init();
  if (name == "avx2") return __builtin_cpu_supports("avx2");
  if (name == "fma") return __builtin_cpu_supports("fma");
  if (name == "bmi2") return __builtin_cpu_supports("bmi2");
  if (name == "avx512f") return __builtin_cpu_supports("avx512f");
  if (name == "avx512bf16") return __builtin_cpu_supports("avx512bf16");
  return true;
}
#else
bool this_cpu_has(const std::string&) { return true; }
#endif

}  // namespace

std::string lacking_instructions(const std::function<bool(const std::string&)>& cpu_has) {
  std::vector<std::string> lacking;
  for (const auto& [name, usual] : compiled_instructions())
    if (!cpu_has(name)) lacking.push_back(usual);
  std::string list;
  for (size_t i = 0; i < lacking.size(); ++i)
    list += (i == 0 ? "" : i + 1 < lacking.size() ? ", " : " and ") + lacking[i];
  return list;
}

void require_compiled_instructions() {
  const std::string lacking = lacking_instructions(this_cpu_has);
  if (!lacking.empty())
    user_error("this program was compiled for CPUs with ", lacking,
               ", which this one lacks; build it on this machine, ",
               "or with -DGPTMOE_NATIVE=OFF (-DCMAKE_CXX_FLAGS=-march=x86-64 for CPUs without AVX2)");
}

}  // namespace gptmoe
