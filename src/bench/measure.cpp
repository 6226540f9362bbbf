#include "bench/measure.h"

#include <chrono>
#include <cmath>
#include <numeric>

#include "engine/matrix_rate.h"
#include "memory/arena.h"

namespace gptmoe {
namespace {

using Clock = std::chrono::steady_clock;

double measure_copy_rate(Ops& ops) {
  constexpr int64_t kBytes = int64_t{256} << 20;
  const int64_t room = ops.memory().available();
  const int64_t bytes = room < 0 ? kBytes : std::min(kBytes, room / 4);
  Arena arena("copy rate");
  const auto lay_out = [&] { return arena.allocate(DType::f32, {2, bytes / dtype_bytes(DType::f32)}); };
  lay_out();
  arena.commit(ops.memory());
  const Tensor both = lay_out();
  ops.zero(both);  // Linux maps memory that was only read to one page of zeros, which would stay in the cache
  const Timing timing = time_rounds(ops, [&] { ops.copy(both.rows(0, 1), both.rows(1, 1)); });
  return static_cast<double>(both.bytes()) / timing.fastest;
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

size_t median_index(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  return order[(order.size() - 1) / 2];
}

// Half of the values lie below the median, so the number of values below it is binomial. `rank` is the largest number
// such that fewer than `rank` values lie below the median with a probability of at most 2.5 %.
std::optional<Interval> median_interval(std::vector<double> values) {
  const size_t n = values.size();
  size_t rank = 0;
  double probability = std::pow(0.5, static_cast<double>(n)), fewer = probability;
  while (fewer <= 0.025) {
    ++rank;
    probability *= static_cast<double>(n - rank + 1) / static_cast<double>(rank);
    fewer += probability;
  }
  if (rank == 0) return std::nullopt;
  std::sort(values.begin(), values.end());
  return Interval{values[rank - 1], values[n - rank]};
}

Timing timing_of(const std::vector<double>& seconds) {
  return {*std::min_element(seconds.begin(), seconds.end()), median(seconds)};
}

double seconds_of(Ops& ops, const std::function<void()>& work, int runs) {
  ops.synchronize();
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < runs; ++i) work();
  ops.synchronize();
  return std::chrono::duration<double>(Clock::now() - start).count() / runs;
}

Timing time_rounds(Ops& ops, const std::function<void()>& work, double in_all) {
  constexpr double kRound = 5e-3;
  // On the CPU, work() returns when the work is done, so each run is a round.
  const double first = seconds_of(ops, work);
  const int runs = ops.memory().on_host() ? 1 : std::clamp(static_cast<int>(kRound / first), 1, 1000);
  std::vector<double> seconds;
  for (double total = 0; seconds.size() < 5 || total < in_all; total += seconds.back() * runs)
    seconds.push_back(seconds_of(ops, work, runs));
  return timing_of(seconds);
}

Ceilings measure_ceilings(Ops& ops) { return {measure_matrix_rate(ops), measure_copy_rate(ops)}; }

Ceilings best(const std::vector<Ceilings>& measured) {
  Ceilings highest;
  for (const Ceilings& ceilings : measured)
    highest = {std::max(highest.flops, ceilings.flops), std::max(highest.bytes, ceilings.bytes)};
  return highest;
}

Ceilings median(const std::vector<Ceilings>& measured) {
  std::vector<double> flops, bytes;
  for (const Ceilings& ceilings : measured) flops.push_back(ceilings.flops), bytes.push_back(ceilings.bytes);
  return {median(flops), median(bytes)};
}

}  // namespace gptmoe
