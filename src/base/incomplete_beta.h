#pragma once

namespace gptmoe {

// The regularised incomplete beta function I_x(a, b) for a, b > 0, which gives the tails of the binomial distribution
// and of Student's: the integral of t^(a-1) (1-t)^(b-1) from 0 to x, divided by the one from 0 to 1.
double incomplete_beta(double x, double a, double b);

}  // namespace gptmoe
