#include <gtest/gtest.h>

#include <ios>

#include "base/check.h"

namespace gptmoe {
namespace {

// Marks its stream as broken, as a failed allocation within a stream does.
struct Broken {};
std::ostream& operator<<(std::ostream& out, Broken) {
  out.setstate(std::ios::badbit);
  return out;
}

TEST(Text, IsWholeOrAnError) {
  EXPECT_EQ(text("step ", 3, ": ", 0.5), "step 3: 0.5");
  EXPECT_THROW(text("step ", Broken(), 3), std::ios_base::failure);
}

}  // namespace
}  // namespace gptmoe
