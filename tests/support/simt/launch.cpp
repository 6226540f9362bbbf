#include "simt/launch.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "simt/runtime.h"
#include "simt/runtime_status.h"

namespace simt {
namespace {

constexpr size_t kSharedBytesWithoutAsking = 48 * 1024;
constexpr size_t kSharedBytesPerBlock = 1024;  // reserved by the system
constexpr unsigned kThreadsOfAnyKernel = 256;  // a block of this size fits even if each thread uses 255 registers
// The limits of a multiprocessor of compute capability 9.0.
constexpr int kResidentThreads = 2048, kResidentBlocks = 32;
constexpr size_t kResidentSharedBytes = 228 * 1024;

struct Kernel {
  BindArguments bind;
  bool loaded = false;
  size_t allowed_bytes = kSharedBytesWithoutAsking;  // the most dynamic shared memory that a launch may ask for
};

// All kernels, by their addresses.
struct Kernels {
  std::mutex registration;
  std::map<const void*, Kernel> all;

  Kernel* find(const void* kernel) {
    const std::lock_guard lock(registration);
    const auto found = all.find(kernel);
    return found == all.end() ? nullptr : &found->second;
  }
};
Kernels& kernels() {
  static Kernels all;
  return all;
}

cudaError_t load(Kernel* kernel) {
  if (!kernel) return cudaErrorInvalidDeviceFunction;
  if (kernel->loaded) return cudaSuccess;
  REFUSE_IN_CAPTURE();
  kernel->loaded = true;
  return cudaSuccess;
}

unsigned threads_of(dim3 block) { return block.x * block.y * block.z; }

// The launch that runs now.
struct Running {
  unsigned threads = 0;
  size_t shared_bytes = 0;
  bool bounded = false;  // the kernel has declared its bounds
} running;

void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
  running = {threads_of(block), shared_bytes, false};
  launch({grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared_bytes, body);
  if (!running.bounded && running.threads > kThreadsOfAnyKernel)
    throw KernelError("a kernel without __launch_bounds__ ran with " + std::to_string(running.threads) +
                      " threads, which may need more registers than a multiprocessor has");
}

}  // namespace

void register_kernel(const void* kernel, BindArguments bind) {
  const std::lock_guard lock(kernels().registration);
  kernels().all.try_emplace(kernel, Kernel{std::move(bind)});
}

void launch_bounds(int threads, int blocks_per_multiprocessor) {
  if (std::exchange(running.bounded, true)) return;
  if (running.threads > static_cast<unsigned>(threads))
    throw KernelError("launched with " + std::to_string(running.threads) + " threads, but with __launch_bounds__ of " +
                      std::to_string(threads));
  if (const int fit = resident_blocks(threads, running.shared_bytes); blocks_per_multiprocessor > fit)
    throw KernelError("__launch_bounds__ of " + std::to_string(blocks_per_multiprocessor) +
                      " blocks per multiprocessor, but only " + std::to_string(fit) + " fit: each has " +
                      std::to_string(threads) + " threads and " + std::to_string(running.shared_bytes) +
                      " bytes of shared memory");
}

int resident_blocks(int threads, size_t shared_bytes) {
  return std::min({kResidentBlocks, kResidentThreads / threads,
                   static_cast<int>(kResidentSharedBytes / (shared_bytes + kSharedBytesPerBlock))});
}

void unload_kernels() {
  const std::lock_guard lock(kernels().registration);
  for (auto& [address, kernel] : kernels().all) {
    kernel.loaded = false;
    kernel.allowed_bytes = kSharedBytesWithoutAsking;
  }
}

}  // namespace simt

using namespace simt;

extern "C" {

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > simulated_device.shared_bytes)
    return cudaErrorInvalidValue;
  Kernel* const kernel = kernels().find(function);
  if (const cudaError_t status = load(kernel); status != cudaSuccess) return status;
  kernel->allowed_bytes = static_cast<size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                             cudaStream_t stream) {
  RETURN_IF_BROKEN();
  REFUSE_WORK(stream);
  Kernel* const kernel = kernels().find(function);
  if (const cudaError_t status = load(kernel); status != cudaSuccess) return status;
  if (grid.x == 0 || grid.x > INT32_MAX || grid.y == 0 || grid.y > UINT16_MAX || grid.z == 0 || grid.z > UINT16_MAX ||
      block.x == 0 || block.y == 0 || block.z == 0 || block.z > 64 ||
      uint64_t{block.x} * block.y * block.z > uint64_t{kMaxThreads})
    return cudaErrorInvalidConfiguration;
  if (shared_bytes > kernel->allowed_bytes) return cudaErrorInvalidValue;
  submit(stream, [=, call = kernel->bind(arguments)] { run(grid, block, shared_bytes, call); });
  return cudaSuccess;
}

}  // extern "C"
