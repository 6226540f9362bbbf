#pragma once
// How fast arms trained, and whether their speeds may be compared.
#include <string>

#include "report/comparison.h"

namespace gptmoe {

// Sets result.tokens_per_second and result.mfu from the arm's runs.
void measure_speed(ArmResult& result);

// Median, over the steps that both arms logged, of the arm's tokens per second / the baseline's.
double speed_ratio(const Arm& arm, const Arm& baseline);

// Why the arms' speeds cannot be compared. Empty if, from their first step on, all runs of both arms were trained by
// the same build on the same machine, with the same numbers of threads and ranks, and without another run beside them.
SpeedObstacle speed_obstacle(const Arm& arm, const Arm& baseline);

}  // namespace gptmoe
