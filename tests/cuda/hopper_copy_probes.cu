// Probes of tensor copies, barriers and the pool of registers.
#include <cstring>
#include <functional>

#include "cuda/hopper_probe_memory.cuh"
#include "kernels/cuda/hopper/bulk_copy.cuh"
#include "kernels/cuda/hopper/tensor_maps.h"
#include "kernels/cuda/hopper/warp_roles.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kBoxRows = 16, kTensorRows = 40, kTensorColumns = 128;
constexpr int kBoxMemory = 32768;                 // bytes of shared memory before the barrier
[[maybe_unused]] constexpr int kPolls = 1 << 20;  // on a GPU, one takes up to a millisecond

// Fills shared memory with 0xEE, copies a box to its byte `to`, and copies the memory to `out`. Stores in *ended
// whether the barrier's phase ended.
__global__ void __launch_bounds__(kThreads)
    box_probe_kernel(unsigned char* out, int* ended, const __grid_constant__ CUtensorMap map, int x, int y, int to,
                     int bytes) {
#if GPTMOE_ON_HOPPER
  auto* shared = shared_memory<unsigned char>();
  auto* barrier = reinterpret_cast<Mbarrier*>(shared + kBoxMemory);
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kBoxMemory / 4; i += kThreads) reinterpret_cast<uint32_t*>(shared)[i] = 0xEEEEEEEE;
  if (thread == 0) mbarrier_init(barrier, 1);
  fence_async_proxy();
  __syncthreads();
  if (thread == 0) {
    mbarrier_arrive_expect(barrier, static_cast<uint32_t>(bytes));
    tensor_load(shared + to, map, x, y, barrier);
    bool done = false;
    for (int i = 0; i < kPolls && !done; ++i) done = mbarrier_try_wait(barrier, 0);
    *ended = done;
  }
  __syncthreads();
  for (int i = thread; i < kBoxMemory; i += kThreads) out[i] = shared[i];
#else
  __trap();
#endif
}

struct Box {
  Bytes shared;
  bool ended;
};

uint16_t element_at(int row, int column) { return static_cast<uint16_t>(row * kTensorColumns + column + 1); }

Box load_box(int columns, int x, int y, int to, SharedSwizzle swizzle) {
  Bytes tensor(kTensorRows * kTensorColumns * 2);
  for (int row = 0; row < kTensorRows; ++row)
    for (int column = 0; column < kTensorColumns; ++column) {
      const uint16_t element = element_at(row, column);
      std::memcpy(&tensor[static_cast<size_t>(row * kTensorColumns + column) * 2], &element, 2);
    }
  const DeviceBytes source(tensor), out{Bytes(kBoxMemory)}, ended{Bytes(4)};
  const CUtensorMap map = hopper::tensor_map(source.as<void>(), {kTensorColumns, kTensorRows}, {kTensorColumns * 2},
                                             {columns, kBoxRows}, swizzle);
  GPTMOE_LAUNCH(box_probe_kernel, 1, kThreads, kBoxMemory + 16, nullptr, out.as<unsigned char>(), ended.as<int>(), map,
                x, y, to, columns * 2 * kBoxRows);
  return {out.read<unsigned char>(), ended.read<int>()[0] != 0};
}

// Whether element (row, column) of the box is at byte place(row, column) of shared memory, for all of them.
bool box_is_at(const Box& box, int columns, int x, int y, const std::function<uint32_t(uint32_t, uint32_t)>& place) {
  for (int row = 0; row < kBoxRows; ++row)
    for (int column = 0; column < columns; ++column) {
      uint16_t element;
      std::memcpy(&element, &box.shared.at(place(static_cast<uint32_t>(row), static_cast<uint32_t>(column))), 2);
      const bool inside = y + row < kTensorRows && x + column < kTensorColumns;
      if (element != (inside ? element_at(y + row, x + column) : 0)) return false;
    }
  return true;
}

std::vector<Reading> tensor_box() {
  const Box box = load_box(64, 8, 3, 2048, SharedSwizzle::bytes_128);
  const auto right_at = [&](const auto& place) { return box.ended && box_is_at(box, 64, 8, 3, place); };
  return {
      {"rows of 128 bytes are swizzled as wgmma reads them",
       right_at([](uint32_t row, uint32_t column) { return 2048 + by_rows(row, column); })},
      {"rows are not swizzled", right_at([](uint32_t row, uint32_t column) { return 2048 + row * 128 + column * 2; })}};
}

std::vector<Reading> box_at_128() {
  const Box box = load_box(64, 0, 0, 128, SharedSwizzle::bytes_128);
  const auto right_at = [&](const auto& place) { return box.ended && box_is_at(box, 64, 0, 0, place); };
  return {{"the swizzle takes its row from the address",
           right_at([](uint32_t row, uint32_t column) { return swizzled(128 + row * 128 + column * 2, 128); })},
          {"the swizzle's pattern begins at the destination",
           right_at([](uint32_t row, uint32_t column) { return 128 + by_rows(row, column); })}};
}

std::vector<Reading> box_outside() {
  const Box box = load_box(64, 100, 30, 0, SharedSwizzle::bytes_128);
  const bool zeros = box_is_at(box, 64, 100, 30, by_rows);
  return {{"elements outside the tensor become zeros and count as bytes", box.ended && zeros},
          {"they become zeros and do not count", !box.ended && zeros}};
}

std::vector<Reading> narrow_box() {
  const Box box = load_box(32, 0, 0, 0, SharedSwizzle::bytes_128);
  const auto right_at = [&](const auto& place) { return box.ended && box_is_at(box, 32, 0, 0, place); };
  return {{"rows are padded to the swizzle's width", right_at(by_rows)},
          {"rows are packed, then swizzled",
           right_at([](uint32_t row, uint32_t column) { return swizzled(row * 64 + column * 2, 128); })}};
}

// One barrier through two phases: out[i] is 1 if the i-th test was true.
__global__ void __launch_bounds__(kThreads) barrier_probe_kernel(int* out) {
#if GPTMOE_ON_HOPPER
  auto* barrier = shared_memory<Mbarrier>();
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) mbarrier_init(barrier, kThreads);
  __syncthreads();
  if (thread == 0) out[0] = mbarrier_try_wait(barrier, 1);
  __syncthreads();
  if (thread > 0) mbarrier_arrive(barrier);
  __syncthreads();
  if (thread == 1) out[1] = mbarrier_try_wait(barrier, 1);  // one arrival is missing, so phase 0 has not ended
  __syncthreads();
  if (thread == 0) {
    mbarrier_arrive(barrier);
    bool done = false;
    for (int i = 0; i < kPolls && !done; ++i) done = mbarrier_try_wait(barrier, 0);
    out[2] = done;
  }
#else
  __trap();
#endif
}

std::vector<Reading> barrier() {
  const DeviceBytes out(Bytes(3 * 4));
  GPTMOE_LAUNCH(barrier_probe_kernel, 1, kThreads, sizeof(Mbarrier), nullptr, out.as<int>());
  const std::vector<int> tests = out.read<int>();
  return {{"a new barrier counts as if a phase of parity 1 had ended", tests[0] == 1 && tests[1] == 1},
          {"a phase ends with the last arrival", tests[2] == 1}};
}

// One warpgroup gives up registers that the other two take. If the pool is smaller than assumed, this does not end.
__global__ void __launch_bounds__(384, 1) registers_probe_kernel(int* out) {
#if GPTMOE_ON_HOPPER
  if (threadIdx.x < kThreads)
    give_registers<40>();
  else
    take_registers<232>();
  __syncthreads();
  if (threadIdx.x == 0) *out = 1;
#else
  __trap();
#endif
}

std::vector<Reading> register_pool() {
  const DeviceBytes out(Bytes(4));
  GPTMOE_LAUNCH(registers_probe_kernel, 1, 384, 0, nullptr, out.as<int>());
  return {{"384 threads begin with 168 registers each, which can become 40 and 232", out.read<int>()[0] == 1}};
}

}  // namespace

std::vector<Probe> copy_probes() {
  return {{"barrier", "mbarrier", barrier},
          {"tensor_box", "a tensor copy, swizzle of 128 bytes", tensor_box},
          {"box_at_128", "a tensor copy to a multiple of 128, but not of 1024, bytes", box_at_128},
          {"box_outside", "a tensor copy that reaches past the end of the tensor", box_outside},
          {"narrow_box", "a tensor copy of a box that is narrower than its swizzle", narrow_box, false},
          {"register_pool", "setmaxnreg", register_pool, false}};
}

}  // namespace gptmoe::cuda
