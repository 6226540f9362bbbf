#pragma once
// How fast arms trained, and when that says something about their configs.
#include <string>

#include "report/comparison.h"

namespace gptmoe {

// result.tokens_per_second and mfu, from its runs.
void measure_speed(ArmResult& result);

// Median over the steps both arms logged of tokens per second / the baseline's.
double speed_ratio(const Arm& arm, const Arm& baseline);

// None where all runs of both were trained by the same build, on the same machine, with as many threads and ranks, from
// their first step on, and beside no other run.
SpeedObstacle speed_obstacle(const Arm& arm, const Arm& baseline);

}  // namespace gptmoe
