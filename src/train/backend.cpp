#include "train/backend.h"

#include <algorithm>
#include <chrono>

#include "base/arena.h"

namespace gptmoe {

std::unique_ptr<Ops> make_backend(const Config& config) {
  if (config.device == "cuda")
    user_error("device: \"cuda\", but this gptmoe was built without CUDA; use \"cpu\" or \"auto\"");
  if (config.precision == "bf16") user_error("precision: \"bf16\" needs a GPU; use \"f32\" or \"auto\" on the CPU");
  return make_cpu_ops();
}

double measure_matrix_rate(Ops& ops) {
  constexpr int64_t kSize = 1024;
  constexpr double kSeconds = 0.1;
  Arena arena("matrix rate");
  Tensor y, x, w;
  const auto lay_out = [&] {
    y = arena.allocate(ops.compute_dtype(), {kSize, kSize});
    x = arena.allocate(ops.compute_dtype(), {kSize, kSize});
    w = arena.allocate(ops.compute_dtype(), {kSize, kSize});
  };
  lay_out();
  arena.commit();
  lay_out();
  double best = 1e30, total = 0;
  for (int round = 0; round < 2 || total < kSeconds; ++round) {  // the first one also warms up
    const auto start = std::chrono::steady_clock::now();
    ops.linear_forward(y, x, w);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, seconds);
    total += seconds;
  }
  return 2.0 * kSize * kSize * kSize / best;
}

}  // namespace gptmoe
