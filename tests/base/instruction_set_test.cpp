#include "base/instruction_set.h"

#include <gtest/gtest.h>

namespace gptmoe::testing {
namespace {

TEST(InstructionSet, NamesWhatTheCpuLacks) {
  EXPECT_EQ(lacking_instructions([](const std::string&) { return true; }), "");
#if defined(__AVX2__) && defined(__FMA__) && defined(__BMI2__)
  EXPECT_EQ(lacking_instructions([](const std::string& name) { return name != "avx2"; }), "AVX2");
  EXPECT_EQ(lacking_instructions([](const std::string& name) { return name != "avx2" && name != "fma"; }),
            "AVX2 and FMA");
  EXPECT_EQ(lacking_instructions([](const std::string& name) { return name.starts_with("avx512"); }),
            "AVX2, FMA and BMI2");
#endif
}

TEST(InstructionSet, OfThisMachineIsEnough) { EXPECT_NO_THROW(require_compiled_instructions()); }

}  // namespace
}  // namespace gptmoe::testing
