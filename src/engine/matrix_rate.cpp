#include "engine/matrix_rate.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/rng.h"
#include "memory/arena.h"

namespace gptmoe {
namespace {

// Fills the matrix with numbers like those of a model. Matrix products of zeros draw less power, so they run faster on
// a device with a power limit.
void fill_random(const Tensor& matrix, Memory& memory, uint64_t stream) {
  const Rng rng(1, stream);
  std::vector<float> part(static_cast<size_t>(std::min<int64_t>(matrix.count(), 1 << 20)));
  for (size_t i = 0; i < part.size(); ++i) part[i] = static_cast<float>(2 * rng.uniform(i) - 1);
  const int64_t rows = std::ssize(part) / matrix.size(1);
  for (int64_t row = 0; row < matrix.size(0); row += rows)
    upload_floats(memory, matrix.rows(row, std::min(rows, matrix.size(0) - row)), part.data());
}

// The time of a product of two (size, size) matrices, in seconds: the lowest average of several rounds, which take
// `in_all` seconds in total. Products that take only microseconds are timed up to 100 at a time, so that the wait for
// the device hardly counts.
double seconds_of_product(Ops& ops, int64_t size, double in_all) {
  constexpr double kRound = 5e-3;
  Arena arena("matrix rate");
  Tensor y, x, w;
  const auto lay_out = [&] {
    for (Tensor* tensor : {&y, &x, &w}) *tensor = arena.allocate(ops.compute_dtype(), {size, size});
  };
  lay_out();
  arena.commit(ops.memory());
  lay_out();
  fill_random(x, ops.memory(), 0);
  fill_random(w, ops.memory(), 1);
  const auto seconds_of = [&](int products) {
    ops.synchronize();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < products; ++i) ops.linear_forward(y, x, w);
    ops.synchronize();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  seconds_of(1);  // warms up
  double best = seconds_of(1), total = best;
  const int products = std::clamp(static_cast<int>(kRound / best), 1, 100);
  while (total < in_all) {
    const double seconds = seconds_of(products);
    best = std::min(best, seconds / products);
    total += seconds;
  }
  return best;
}

}  // namespace

double measure_matrix_rate(Ops& ops, double run_flops) {
  // Finds a size that takes a few milliseconds; it depends on the device.
  constexpr double kLongEnough = 5e-3;
  constexpr int64_t kSmallest = 256, kLargest = 8192;
  const auto fits = [&](int64_t size) {
    const int64_t room = ops.memory().available();
    return room < 0 || 3 * size * size * dtype_bytes(ops.compute_dtype()) <= room / 2;
  };
  for (int64_t size = kSmallest;; size *= 2) {
    const auto n = static_cast<double>(size);
    const double flops = 2 * n * n * n, seconds = seconds_of_product(ops, size, 0);
    const bool short_enough = 16 * flops <= run_flops;  // two products of twice the size
    if (seconds < kLongEnough && size < kLargest && fits(2 * size) && short_enough) continue;
    const double in_all = std::min(0.1, run_flops * seconds / flops);
    return flops / (in_all < seconds ? seconds : std::min(seconds, seconds_of_product(ops, size, in_all)));
  }
}

}  // namespace gptmoe
