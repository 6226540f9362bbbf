#pragma once
#include <cstdint>

#include "config/config.h"

namespace gptmoe {

// The learning rate of step s = 0 .. steps-1. All schedules warm up linearly, reaching the peak at s = warmup - 1:
//   peak * (s + 1) / warmup.  Then, with floor = min_lr_ratio * peak,
//   cosine:   floor + (peak - floor) * (1 + cos(pi p)) / 2,  p = min(1, (s - warmup) / (end - warmup)),
//             where end = lr_decay_steps, or steps if that is 0
//   constant: peak
//   wsd:      (warm-up, stable, decay) peak, then a linear decay over the last decay_steps steps, down to floor in the
//             last one
double learning_rate_at(int64_t step, const ScheduleConfig& schedule, double peak, int64_t steps);

}  // namespace gptmoe
