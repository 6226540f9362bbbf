#pragma once
// Sums over many rows or elements in a fixed order.
#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"
#include "kernels/cpu/thread_buffer.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

// Sums `width` columns over `rows`. body(begin, end, sums) adds rows [begin, end) to `sums`, which starts at zero; each
// range of rows has its own `sums`, and the sums of all ranges are then added in order. The result is valid until the
// calling thread's next call.
template <typename Body>
const Real* column_sums(int threads, int64_t rows, int64_t grain, int64_t width, Body&& body) {
  static thread_local ThreadBuffer buffer;
  Real* partial = buffer.get(threads * width);
  std::fill(partial, partial + threads * width, Real{0});
  parallel_ranges(threads, rows, grain,
                  [&](int64_t begin, int64_t end, int thread) { body(begin, end, partial + thread * width); });
  for (int thread = 1; thread < threads; ++thread) add_scaled(partial, 1, partial + thread * width, width);
  return partial;
}

// Adds up body(begin, end), in double, over chunks of [0, count) that are the same for every thread count. `elements`
// is the work per item, in elements.
template <typename Body>
double chunked_sum(int threads, int64_t count, int64_t elements, Body&& body) {
  constexpr int64_t kChunks = 256;
  std::array<double, kChunks> partial{};
  const int64_t chunk = std::max<int64_t>((count + kChunks - 1) / kChunks, 1);
  const int64_t chunks = (count + chunk - 1) / chunk;
  parallel_ranges(threads, chunks, row_grain(chunk * elements), [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) partial[i] = body(i * chunk, std::min(count, (i + 1) * chunk));
  });
  double sum = 0;
  for (double value : partial) sum += value;
  return sum;
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
