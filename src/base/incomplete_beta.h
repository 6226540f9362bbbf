#pragma once

namespace gptmoe {

// The regularised incomplete beta function I_x(a, b) for a, b > 0: the integral of t^(a-1) (1-t)^(b-1) from 0 to x,
// divided by the same integral from 0 to 1. It gives the tails of the binomial distribution and of Student's
// t-distribution.
double incomplete_beta(double x, double a, double b);

}  // namespace gptmoe
