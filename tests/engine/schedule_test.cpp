#include "engine/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace gptmoe {
namespace {

constexpr double kPeak = 2.0;
constexpr int64_t kSteps = 10;

ScheduleConfig schedule(const std::string& type, int64_t warmup, int64_t decay = 0) {
  return {.type = type, .warmup_steps = warmup, .min_lr_ratio = 0.1, .decay_steps = decay};
}

double rate(int64_t step, const ScheduleConfig& config) { return learning_rate_at(step, config, kPeak, kSteps); }

TEST(Schedule, WarmsUpInEqualStepsToThePeak) {
  for (const ScheduleConfig& config : {schedule("cosine", 4), schedule("constant", 4), schedule("wsd", 4, 3)}) {
    SCOPED_TRACE(config.type);
    EXPECT_DOUBLE_EQ(rate(0, config), 0.5);
    EXPECT_DOUBLE_EQ(rate(1, config), 1.0);
    EXPECT_DOUBLE_EQ(rate(3, config), kPeak);
    EXPECT_DOUBLE_EQ(rate(4, config), kPeak) << "the first step after warm-up is not below the last one of warm-up";
  }
}

TEST(Schedule, WithoutWarmupTheFirstStepHasThePeak) {
  for (const ScheduleConfig& config : {schedule("cosine", 0), schedule("constant", 0), schedule("wsd", 0, 3)})
    EXPECT_DOUBLE_EQ(rate(0, config), kPeak) << config.type;
}

TEST(Schedule, CosineFallsToTheFloor) {
  const ScheduleConfig config = schedule("cosine", 2);
  EXPECT_DOUBLE_EQ(rate(6, config), 1.1) << "half way: the middle of 2 and 0.2";
  EXPECT_DOUBLE_EQ(rate(9, config), 0.2 + 1.8 * 0.5 * (1 + std::cos(std::numbers::pi * 7 / 8)));
  for (int64_t step = 2; step < kSteps; ++step) EXPECT_GT(rate(step, config), rate(step + 1, config)) << step;
  EXPECT_DOUBLE_EQ(rate(kSteps, config), 0.2);
}

TEST(Schedule, CosineWithNothingAfterWarmupIsWarmupAlone) {
  const ScheduleConfig config = schedule("cosine", kSteps);
  EXPECT_DOUBLE_EQ(rate(0, config), 0.2);
  EXPECT_DOUBLE_EQ(rate(kSteps - 1, config), kPeak);
}

TEST(Schedule, WithLrDecayStepsAboveItsStepsARunEndsInMidCosine) {
  ScheduleConfig config = schedule("cosine", 2);
  config.lr_decay_steps = 2 * kSteps + 2;
  EXPECT_DOUBLE_EQ(rate(1, config), kPeak);
  EXPECT_DOUBLE_EQ(rate(7, config), 0.2 + 1.8 * 0.5 * (1 + std::cos(std::numbers::pi / 4)));
  EXPECT_DOUBLE_EQ(learning_rate_at(12, config, kPeak, kSteps), 1.1) << "half way";
}

TEST(Schedule, WithLrDecayStepsBelowItsStepsARunEndsAtTheFloor) {
  ScheduleConfig config = schedule("cosine", 2);
  config.lr_decay_steps = 6;
  EXPECT_DOUBLE_EQ(rate(4, config), 1.1) << "half way";
  for (int64_t step = 6; step < kSteps; ++step) EXPECT_DOUBLE_EQ(rate(step, config), 0.2) << step;
}

TEST(Schedule, ConstantStaysAtThePeak) {
  for (int64_t step = 3; step < kSteps; ++step) EXPECT_EQ(rate(step, schedule("constant", 3)), kPeak) << step;
}

TEST(Schedule, WarmupStableDecayChangesPhaseAtTheRightSteps) {
  const ScheduleConfig config = schedule("wsd", 2, 4);
  for (int64_t step = 1; step < 6; ++step) EXPECT_DOUBLE_EQ(rate(step, config), kPeak) << step;
  EXPECT_DOUBLE_EQ(rate(6, config), 1.55);
  EXPECT_DOUBLE_EQ(rate(7, config), 1.1);
  EXPECT_DOUBLE_EQ(rate(8, config), 0.65);
  EXPECT_DOUBLE_EQ(rate(kSteps - 1, config), 0.2) << "the last step has the floor";
}

TEST(Schedule, DecayMayFollowWarmupDirectly) {
  const ScheduleConfig config = schedule("wsd", 5, 5);
  EXPECT_DOUBLE_EQ(rate(4, config), kPeak);
  EXPECT_DOUBLE_EQ(rate(5, config), 1.64);
  EXPECT_DOUBLE_EQ(rate(9, config), 0.2);
}

TEST(Schedule, OneDecayStepDecays) {
  const ScheduleConfig config = schedule("wsd", 0, 1);
  EXPECT_DOUBLE_EQ(rate(kSteps - 2, config), kPeak);
  EXPECT_DOUBLE_EQ(rate(kSteps - 1, config), 0.2);
}

TEST(Schedule, WarmsUpOverOneStepAndOverAllSteps) {
  for (const ScheduleConfig& config : {schedule("cosine", 1), schedule("constant", 1), schedule("wsd", 1, 3)})
    EXPECT_DOUBLE_EQ(rate(0, config), kPeak) << config.type;
  for (const ScheduleConfig& config : {schedule("cosine", kSteps), schedule("constant", kSteps)})
    for (int64_t step = 0; step < kSteps; ++step)
      EXPECT_DOUBLE_EQ(rate(step, config), kPeak * static_cast<double>(step + 1) / kSteps) << config.type << step;
}

}  // namespace
}  // namespace gptmoe
