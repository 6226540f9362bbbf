#include "engine/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gptmoe {

double learning_rate_at(int64_t step, const ScheduleConfig& schedule, double peak, int64_t steps) {
  const int64_t warmup = schedule.warmup_steps;
  if (step < warmup) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
  const double floor = schedule.min_lr_ratio * peak;
  if (schedule.type == "cosine") {
    const int64_t end = schedule.lr_decay_steps > 0 ? schedule.lr_decay_steps : steps;
    const double progress =
        static_cast<double>(step - warmup) / static_cast<double>(std::max<int64_t>(1, end - warmup));
    return floor + (peak - floor) * 0.5 * (1.0 + std::cos(std::numbers::pi * std::min(1.0, progress)));
  }
  if (schedule.type == "wsd") {
    const int64_t decay_start = steps - schedule.decay_steps;
    if (step < decay_start) return peak;
    const double progress = static_cast<double>(step - decay_start + 1) / static_cast<double>(schedule.decay_steps);
    return peak + (floor - peak) * progress;
  }
  return peak;
}

}  // namespace gptmoe
