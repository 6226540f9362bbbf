#include "base/slow_job.h"

#include <gtest/gtest.h>
#include <stdlib.h>

namespace gptmoe {
namespace {

TEST(SlowJob, ShowsProgressOnceItTakesLong) {
  const auto shown = [](double quiet_seconds) {
    testing::internal::CaptureStderr();
    {
      SlowJob job("checksums of a.bin", 4, quiet_seconds);
      job.advance();
    }
    return testing::internal::GetCapturedStderr();
  };
  setenv(kTerminalColumns, "80", 1);
  EXPECT_NE(shown(0).find("checksums of a.bin  25 %"), std::string::npos);
  EXPECT_EQ(shown(60), "");
  setenv(kTerminalColumns, "0", 1);
  EXPECT_EQ(shown(0), "") << "in a pipe";
  unsetenv(kTerminalColumns);
}

}  // namespace
}  // namespace gptmoe
