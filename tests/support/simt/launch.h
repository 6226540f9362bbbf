#pragma once
// Launches of kernels, and what CUDA requires of them.
#include <cuda_runtime.h>

#include <functional>

namespace simt {

// Runs `body`, a call of `kernel`, in every thread of the grid, in the order of the work on `stream`. Returns the error
// that CUDA would return, and then nothing runs:
//   * for a grid, block or shared memory that the GPU cannot take
//   * for more than 48 KiB of shared memory, unless cudaFuncSetAttribute allowed the kernel that much
//   * if the kernel would be loaded during a capture. CUDA loads kernels when they are first used, and loading may need
//     what a capture forbids.
// The running kernel throws KernelError if its block is larger than its __launch_bounds__; or larger than 256 threads
// if it declares none, because a thread may use up to 255 of a multiprocessor's 65,536 registers; or if fewer blocks
// than its __launch_bounds__ name fit on a multiprocessor of compute capability 9.0, for which they are chosen.
cudaError_t launch_kernel(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                          std::function<void()> body);

// The build inserts this call at the start of every kernel that declares __launch_bounds__.
void launch_bounds(int threads, int blocks_per_multiprocessor = 1);

// The blocks that fit on a multiprocessor of compute capability 9.0 together, as far as threads and shared memory limit
// them.
int resident_blocks(int threads, size_t shared_bytes);

// As when a program starts: no kernel is loaded, and none is allowed more than 48 KiB of shared memory.
void unload_kernels();

}  // namespace simt
