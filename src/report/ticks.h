#pragma once
#include <vector>

namespace gptmoe {

// Multiples of 1, 2 or 5 times a power of ten inside [low, high], about `count` of them. Requires low < high and count
// > 0.
std::vector<double> nice_ticks(double low, double high, int count);
// The ticks of a log axis, 0 < low < high. If high / low is below 5, they are those of nice_ticks(); within one decade,
// they are 1, 2, 3, 5 and 7 times the powers of ten. In a wider range they are 1, 2 and 5 times the powers of ten, or
// only the powers of ten if there would be more than twice `count` ticks.
std::vector<double> log_ticks(double low, double high, int count);

}  // namespace gptmoe
