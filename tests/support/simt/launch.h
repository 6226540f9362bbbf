#pragma once
// Launches of kernels: how the simulated runtime calls a kernel, and what CUDA requires of a launch. cudaLaunchKernel()
// returns the error that CUDA would return, and then nothing runs:
//   * for a function that is no kernel
//   * for a grid, block or shared memory that the GPU cannot take
//   * for more than 48 KiB of shared memory, unless cudaFuncSetAttribute allowed the kernel that much
//   * if the kernel would be loaded during a capture. CUDA loads kernels when they are first used, and loading may need
//     what a capture forbids.
// The running kernel throws KernelError if its block is larger than its __launch_bounds__; or larger than 256 threads
// if it declares none, because a thread may use up to 255 of a multiprocessor's 65,536 registers; or if its
// __launch_bounds__ ask for more blocks than fit on a multiprocessor of compute capability 9.0, the GPU for which the
// bounds are chosen.
#include <cuda_runtime.h>

#include <functional>
#include <tuple>
#include <utility>

namespace simt {

// Copies the arguments and returns a call of the kernel with them, to be made by every thread.
using BindArguments = std::function<std::function<void()>(void** arguments)>;
// Makes a function known as a kernel.
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

// The blocks that fit on a multiprocessor of compute capability 9.0 together, as far as threads and shared memory limit
// them.
int resident_blocks(int threads, size_t shared_bytes);

// As when a program starts: no kernel is loaded, and none is allowed more than 48 KiB of shared memory.
void unload_kernels();

}  // namespace simt
