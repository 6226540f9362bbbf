#pragma once
// Divides the work of the CPU kernels among threads, into contiguous ranges. The ranges depend only on the number of
// items and threads, so the same inputs and thread count always give the same result.
#include <algorithm>
#include <cstdint>

namespace gptmoe {

// Cuts [0, count) into at most `threads` nearly equal ranges whose inner borders are multiples of `grain`, and calls
// body(begin, end, thread) once for each non-empty range, each on its own thread; 0 <= thread < threads. A single range
// runs on the calling thread. The body must not throw.
template <typename Body>
void parallel_ranges(int threads, int64_t count, int64_t grain, Body&& body) {
  const int64_t grains = (count + grain - 1) / grain;
  const int ranges = static_cast<int>(std::min<int64_t>(threads, grains));
  if (ranges <= 1) {
    if (count > 0) body(int64_t{0}, count, 0);
    return;
  }
  // The team always has `threads` members, even for fewer ranges: a team that changes size starts new threads.
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int range = 0; range < ranges; ++range) {
    const int64_t begin = grains * range / ranges * grain;
    const int64_t end = std::min(count, grains * (range + 1) / ranges * grain);
    body(begin, end, range);
  }
}

}  // namespace gptmoe
