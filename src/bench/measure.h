#pragma once
// Measures times, and the limits of a device.
#include <algorithm>
#include <functional>
#include <optional>
#include <vector>

#include "kernels/ops.h"

namespace gptmoe {

// The median; for an even number of values, the mean of the middle two.
double median(std::vector<double> values);
// The index of the median; for an even number of values, of the lower middle one.
size_t median_index(const std::vector<double>& values);

struct Interval {
  double low = 0, high = 0;
};
// The 95 % confidence interval of the median from which independent values were drawn: two of the values, by the sign
// test, with no assumption about the distribution. None for fewer than six values.
std::optional<Interval> median_interval(std::vector<double> values);

struct Timing {
  double fastest = 0, median = 0;  // seconds
};
Timing timing_of(const std::vector<double>& seconds);

// Mean seconds per run, over `runs` runs of `work` between two waits for the device.
double seconds_of(Ops& ops, const std::function<void()>& work, int runs = 1);
// Times at least five rounds of `work`, which take about `in_all` seconds together. On a GPU a round is many runs of
// `work`.
Timing time_rounds(Ops& ops, const std::function<void()>& work, double in_all = 0.4);

// The device's current rates: the FLOP/s of large matrix products, and the bytes that a copy larger than every cache
// reads and writes per second.
struct Ceilings {
  double flops = 0, bytes = 0;

  // The least time that the work can take, in seconds: its FLOPs or its bytes at these rates, whichever takes longer.
  double floor_of(double work_flops, double work_bytes) const {
    return std::max(work_flops / flops, work_bytes / bytes);
  }
};
// Measures for about half a second.
Ceilings measure_ceilings(Ops& ops);
// best() takes the highest of each rate; compare it with fastest times. median() takes the median of each rate; compare
// it with median times.
Ceilings best(const std::vector<Ceilings>& measured);
Ceilings median(const std::vector<Ceilings>& measured);

}  // namespace gptmoe
