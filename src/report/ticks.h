#pragma once
#include <vector>

namespace gptmoe {

// Multiples of 1, 2 or 5 times a power of ten inside [low, high], about `count` of them. Requires low < high, count >
// 0.
std::vector<double> nice_ticks(double low, double high, int count);
// For a log axis, 0 < low < high: nice_ticks within one decade, beyond it 1-2-5 per decade, thinned to powers of ten
// when those would be more than twice `count`.
std::vector<double> log_ticks(double low, double high, int count);

}  // namespace gptmoe
