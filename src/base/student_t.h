#pragma once
#include <cstdint>

namespace gptmoe {

// The t > 0 with P(|T| < t) = `probability`, in (0, 1), for Student's distribution with `degrees` degrees of freedom,
// at least 1: 4.3027 for 0.95 and 2 degrees.
double student_t_bound(double probability, int64_t degrees);

// P(|T| > |t|) for this distribution: 0.05 for t = 4.3027 and 2 degrees. The relative error is small even for tiny
// probabilities.
double student_t_beyond(double t, int64_t degrees);

}  // namespace gptmoe
