#pragma once
// Times, and what a device can do at best.
#include <algorithm>
#include <functional>
#include <vector>

#include "kernels/ops.h"

namespace gptmoe {

// Of an even number of values the mean of the two in the middle.
double median(std::vector<double> values);
// Where the value of the middle is: of an even number of them the lower one's.
size_t median_index(const std::vector<double>& values);

struct Timing {
  double fastest = 0, median = 0;  // seconds
};
Timing timing_of(const std::vector<double>& seconds);

// Seconds of each of so many runs of `work`, between two waits for the device.
double seconds_of(Ops& ops, const std::function<void()>& work, int runs = 1);
// Of rounds of `work` that take `in_all` seconds together, five at least. On a device a round is many runs.
Timing time_rounds(Ops& ops, const std::function<void()>& work, double in_all = 0.4);

// What the device reached just now: FLOP/s of large matrix products, and bytes read and written a second by a copy that
// no cache holds.
struct Ceilings {
  double flops = 0, bytes = 0;

  // Seconds that work takes at these rates, one of them alone.
  double floor_of(double work_flops, double work_bytes) const {
    return std::max(work_flops / flops, work_bytes / bytes);
  }
};
// In about half a second.
Ceilings measure_ceilings(Ops& ops);
// Of each rate by itself: the highest, which fastest times are held against, and the median, for median times.
Ceilings best(const std::vector<Ceilings>& measured);
Ceilings median(const std::vector<Ceilings>& measured);

}  // namespace gptmoe
