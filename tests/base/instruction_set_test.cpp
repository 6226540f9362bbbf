#include "base/instruction_set.h"

#include <gtest/gtest.h>

namespace gptmoe::testing {
namespace {

TEST(InstructionSet, NamesWhatTheCpuLacks) {
  EXPECT_EQ(lacking_instructions({}), "");
  EXPECT_EQ(lacking_instructions({{"AVX2", true}, {"FMA", true}}), "");
  EXPECT_EQ(lacking_instructions({{"AVX2", true}, {"FMA", false}}), "FMA");
  EXPECT_EQ(lacking_instructions({{"AVX2", false}, {"FMA", false}, {"BMI2", true}}), "AVX2 and FMA");
  EXPECT_EQ(lacking_instructions({{"AVX2", false}, {"FMA", false}, {"AVX-512", false}}), "AVX2, FMA and AVX-512");
}

}  // namespace
}  // namespace gptmoe::testing
