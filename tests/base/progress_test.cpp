#include "base/progress.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/check.h"

namespace gptmoe {
namespace {

TEST(Text, StreamsItsArguments) { EXPECT_EQ(text("step ", 3, ' ', 0.5), "step 3 0.5"); }

TEST(Check, MessageHasTheConditionAndTheDetails) {
  try {
    GPTMOE_CHECK(1 + 1 == 3, "sum ", 2);
    FAIL();
  } catch (const BugError& error) {
    EXPECT_NE(std::string(error.what()).find("check failed: 1 + 1 == 3 sum 2"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("progress_test.cpp:"), std::string::npos) << error.what();
  }
}

TEST(JobClock, ShowsShareAndTimeLeft) {
  const JobClock clock;
  EXPECT_EQ(clock.state(0, 200, 5), "0 %");
  EXPECT_EQ(clock.state(50, 200, 0.5), "25 %") << "too early to estimate the time left";
  EXPECT_EQ(clock.state(50, 200, 60), "25 %, 3:00 left");
  EXPECT_EQ(clock.state(200, 200, 60), "99 %, 0:00 left");
  EXPECT_EQ(clock.state(50, 0, 60), "");
  const JobClock resumed(100);
  EXPECT_EQ(resumed.state(150, 200, 60), "75 %, 1:00 left") << "this job spent no time on the first half";
}

TEST(MetricCount, HasThreeDigitsAndAPrefix) {
  EXPECT_EQ(metric_count(0), "0");
  EXPECT_EQ(metric_count(42), "42");
  EXPECT_EQ(metric_count(999), "999");
  EXPECT_EQ(metric_count(0.5), "0.50");
  EXPECT_EQ(metric_count(42.25), "42.2");
  EXPECT_EQ(metric_count(1000), "1.00 k");
  EXPECT_EQ(metric_count(310000), "310 k");
  EXPECT_EQ(metric_count(1.25e9), "1.25 G");
  EXPECT_EQ(metric_count(12.5e12), "12.5 T");
}

TEST(MetricCount, RoundsIntoTheNextPrefixOrDigit) {
  EXPECT_EQ(metric_count(999499), "999 k");
  EXPECT_EQ(metric_count(999500), "1.00 M");
  EXPECT_EQ(metric_count(9994), "9.99 k");
  EXPECT_EQ(metric_count(9996), "10.0 k");
  EXPECT_EQ(metric_count(99960), "100 k");
  EXPECT_EQ(metric_count(5e18), "5000 P");
}

TEST(MetricCount, NegativeMirrorsPositive) {
  EXPECT_EQ(metric_count(-310000), "-310 k");
  EXPECT_EQ(metric_count(-12.5e12), "-12.5 T");
}

TEST(BinaryBytes, CountsIn1024s) {
  EXPECT_EQ(binary_bytes(0), "0 B");
  EXPECT_EQ(binary_bytes(1023), "1023 B");
  EXPECT_EQ(binary_bytes(1024), "1.0 KiB");
  EXPECT_EQ(binary_bytes(int64_t{310} << 20), "310 MiB");
  EXPECT_EQ(binary_bytes(int64_t{7} << 29), "3.5 GiB");
  EXPECT_EQ(binary_bytes((int64_t{1} << 20) - 1), "1.0 MiB");
  EXPECT_EQ(binary_bytes(int64_t{1} << 60), "1024 PiB");
}

TEST(ClockTime, ShowsHoursOnlyWhenThereAreAny) {
  EXPECT_EQ(clock_time(0), "0:00");
  EXPECT_EQ(clock_time(59.4), "0:59");
  EXPECT_EQ(clock_time(59.6), "1:00");
  EXPECT_EQ(clock_time(245), "4:05");
  EXPECT_EQ(clock_time(3599.6), "1:00:00");
  EXPECT_EQ(clock_time(3723), "1:02:03");
  EXPECT_EQ(clock_time(360000), "100:00:00");
  EXPECT_EQ(clock_time(-1), "0:00");
}

TEST(GroupedDigits, PutsACommaEveryThreeDigits) {
  EXPECT_EQ(grouped_digits(0), "0");
  EXPECT_EQ(grouped_digits(999), "999");
  EXPECT_EQ(grouped_digits(1000), "1,000");
  EXPECT_EQ(grouped_digits(12345678), "12,345,678");
  EXPECT_EQ(grouped_digits(-123), "-123");
  EXPECT_EQ(grouped_digits(-123456), "-123,456");
  EXPECT_EQ(grouped_digits(std::numeric_limits<int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(Plural, AddsAnSExceptAfterOne) {
  EXPECT_EQ(plural(0, "file"), "0 files");
  EXPECT_EQ(plural(1, "file"), "1 file");
  EXPECT_EQ(plural(2000, "file"), "2,000 files");
}

}  // namespace
}  // namespace gptmoe
