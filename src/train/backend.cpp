#include "train/backend.h"

#include <algorithm>
#include <chrono>

#include "base/arena.h"
#include "base/rng.h"
#include "dist/agree.h"
#include "kernels/cuda_limits.h"
#include "kernels/plan_ops.h"
#include "train/cuda_shapes.h"
#ifdef GPTMOE_NCCL
#include "dist/nccl/nccl_communicator.h"
#endif

namespace gptmoe {
namespace {

// Why there is no CUDA backend here; empty when there is one.
std::string cuda_obstacle() {
#ifdef GPTMOE_CUDA
  return why_no_cuda();
#else
  return "this gptmoe was built without CUDA";
#endif
}

// The widest head of the GPU at hand, or of any where there is none.
int64_t widest_head() {
#ifdef GPTMOE_CUDA
  if (why_no_cuda().empty()) return cuda_widest_head();
#endif
  return cuda::kMaxHeadDim;
}

void take_device([[maybe_unused]] const World& world) {
#ifdef GPTMOE_CUDA
  use_cuda_device(world.local_rank(), world.local_size());
#endif
}

std::string device_id() {
#ifdef GPTMOE_CUDA
  return cuda_device_id();
#else
  return "";
#endif
}

// Throws UserError unless every rank has a GPU, or none has. `obstacles` by rank: empty where there is one.
void require_all_or_none(const Config& config, const World& world, const std::vector<std::string>& obstacles) {
  const auto with = std::find(obstacles.begin(), obstacles.end(), "");
  const auto without = std::find_if(obstacles.begin(), obstacles.end(), [](const auto& why) { return !why.empty(); });
  const auto name = [&](auto at) { return world.name(static_cast<int>(at - obstacles.begin())); };
  if (with != obstacles.end() && without != obstacles.end())
    user_error("device: \"", config.device, "\", but ", name(without), " has no GPU (", *without, ") while ",
               name(with), " has; start ranks where GPUs are, or set device to \"cpu\"");
}

// Of ranks that have GPUs.
void require_one_each(const World& world, const std::vector<std::string>& ids) {
  for (size_t b = 0; b < ids.size(); ++b) {
    const auto a = static_cast<size_t>(std::find(ids.begin(), ids.end(), ids[b]) - ids.begin());
    if (a < b)
      user_error(world.name(static_cast<int>(a)), " and ", world.name(static_cast<int>(b)), " have the same GPU (",
                 ids[b],
                 "): start as many ranks on a machine as it has GPUs, let each see all of them or one of its "
                 "own, or set device to \"cpu\"");
  }
#ifndef GPTMOE_NCCL
  user_error("device: ", world.size(),
             " ranks with GPUs need NCCL, which this gptmoe was built without; install it "
             "(Debian, Ubuntu: libnccl-dev) and build again, or set device to \"cpu\"");
#endif
}

struct Choice {
  bool cuda;
  DType compute;
};

// `obstacle` to a GPU decides for "auto" alone.
Choice choose(const Config& config, const std::string& obstacle) {
  const bool cuda = config.device == "cuda" || (config.device == "auto" && obstacle.empty());
  if (config.precision == "bf16" && !cuda && config.device != "cpu")
    user_error("precision: \"bf16\" was meant for a GPU, but ", obstacle,
               "; set device to \"cpu\" for products in bf16 there, or precision to \"auto\"");
  if (cuda) require_cuda_shapes(config, widest_head());
  return {cuda, cuda && config.precision != "f32" ? DType::bf16 : DType::f32};
}

// Numbers like those of a model: multiplying zeros takes less power, and so less time where power is short.
void fill_random(const Tensor& matrix, Memory& memory, uint64_t stream) {
  const Rng rng(1, stream);
  std::vector<float> part(static_cast<size_t>(std::min<int64_t>(matrix.count(), 1 << 20)));
  for (size_t i = 0; i < part.size(); ++i) part[i] = static_cast<float>(2 * rng.uniform(i) - 1);
  const int64_t rows = std::ssize(part) / matrix.size(1);
  for (int64_t row = 0; row < matrix.size(0); row += rows)
    upload_floats(memory, matrix.rows(row, std::min(rows, matrix.size(0) - row)), part.data());
}

// A (size, size) product's, the least of rounds that take `in_all` seconds together. Those of a few microseconds are
// timed by the dozen, so that waiting for the device does not count.
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

void assign_devices(const Config& config, World& world) {
  if (config.device == "cpu" || world.size() == 1) return;
  agree(world, [&] { take_device(world); });
  const std::string obstacle = cuda_obstacle();
  const std::vector<std::string> obstacles = world.all_gather(obstacle);
  const std::vector<std::string> ids = world.all_gather(obstacle.empty() ? device_id() : "");
  agree(world, [&] {
    require_all_or_none(config, world, obstacles);
    if (obstacle.empty()) require_one_each(world, ids);
  });
}

std::unique_ptr<Communicator> make_communicator(World& world, Ops& ops) {
  if (ops.memory().on_host()) return world.make_host_communicator();
  if (world.size() == 1) return make_single_communicator();
#ifdef GPTMOE_NCCL
  return make_nccl_communicator(world, ops);
#else
  GPTMOE_CHECK(false, "no NCCL for ", ops.describe());
#endif
}

std::unique_ptr<Ops> make_backend(const Config& config) {
  const std::string obstacle = config.device == "cpu" ? "" : cuda_obstacle();
  const Choice choice = choose(config, obstacle);
  if (!choice.cuda) return make_cpu_ops(0, config.precision == "bf16" ? DType::bf16 : DType::f32);
  if (!obstacle.empty()) user_error("device: \"cuda\", but ", obstacle, "; use \"cpu\" or \"auto\"");
#ifdef GPTMOE_CUDA
  return make_cuda_ops(choice.compute, config.train.cuda_graphs);
#else
  return nullptr;
#endif
}

std::string why_no_device(const Config& config) { return config.device == "cuda" ? cuda_obstacle() : ""; }

Ops plan_backend(const Config& config) {
  const Choice choice = choose(config, config.device == "auto" ? cuda_obstacle() : "");
  return choice.cuda ? make_plan_ops(choice.compute, DType::f32, kCudaLogitElements, cuda::kWorkspaceBytes)
                     : make_plan_ops(choice.compute, DType::f32, kCpuLogitElements, 0);
}

double measure_matrix_rate(Ops& ops) {
  // As large as one takes a few milliseconds: what is large depends on the device.
  constexpr double kLongEnough = 5e-3;
  constexpr int64_t kSmallest = 256, kLargest = 8192;
  const auto fits = [&](int64_t size) {
    const int64_t room = ops.memory().available();
    return room < 0 || 3 * size * size * dtype_bytes(ops.compute_dtype()) <= room / 2;
  };
  for (int64_t size = kSmallest;; size *= 2) {
    const double seconds = seconds_of_product(ops, size, 0);
    if (seconds < kLongEnough && size < kLargest && fits(2 * size)) continue;
    const auto n = static_cast<double>(size);
    return 2.0 * n * n * n / std::min(seconds, seconds_of_product(ops, size, 0.1));
  }
}

}  // namespace gptmoe
