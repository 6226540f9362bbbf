#pragma once
// Launches of kernels: how the simulated runtime calls a kernel, and what CUDA requires of a launch. In these
// cases, cudaLaunchKernel() runs nothing and returns the error that CUDA would return:
//   * for a function that is no kernel
//   * for a grid, block or shared memory that the GPU cannot take
//   * for more than 48 KiB of shared memory, unless cudaFuncSetAttribute allowed the kernel that much
//   * if the kernel would be loaded during a capture. CUDA loads kernels when they are first used, and loading may need
//     calls that a capture forbids.
// The running kernel throws KernelError in these cases:
//   * Its block has more threads than its __launch_bounds__ allow.
//   * It declares no __launch_bounds__, and its block has more than 256 threads. A thread may use up to 255 registers,
//     and a multiprocessor has 65,536.
//   * Its __launch_bounds__ request more blocks than fit on a multiprocessor of compute capability 9.0. The bounds are
//     chosen for GPUs of that capability.
#include <cuda_runtime.h>

#include <functional>
#include <tuple>
#include <utility>

namespace simt {

// Copies the arguments and returns a function that calls the kernel with them. Every thread calls that function.
using BindArguments = std::function<std::function<void()>(void** arguments)>;
// Registers a function as a kernel.
void register_kernel(const void* kernel, BindArguments bind);

template <typename... Params>
void register_kernel(void (*kernel)(Params...)) {
  register_kernel(reinterpret_cast<const void*>(kernel), [kernel](void** arguments) {
    return [&]<size_t... kIndex>(std::index_sequence<kIndex...>)->std::function<void()> {
      return [kernel, copied = std::tuple<Params...>(*static_cast<Params*>(arguments[kIndex])...)] {
        std::apply(kernel, copied);
      };
    }
    (std::index_sequence_for<Params...>());
  });
}

// The build inserts this call at the start of every kernel that declares __launch_bounds__.
void launch_bounds(int threads, int blocks_per_multiprocessor = 1);

// The number of blocks that fit together on a multiprocessor of compute capability 9.0, if only threads and shared
// memory limit it.
int resident_blocks(int threads, size_t shared_bytes);

// Restores the state at the start of a program: no kernel is loaded, and none may use more than 48 KiB of shared
// memory.
void unload_kernels();

}  // namespace simt
