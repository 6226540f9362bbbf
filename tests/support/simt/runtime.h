#pragma once
// A GPU in miniature on the host: runs a kernel compiled by the host's compiler, one block after another, the threads
// of a block as fibers that give way at barriers and warp operations. It shows whether a kernel's indexing and
// synchronisation are right, never how fast it is:
//   * blocks run in a shuffled order, and so do the threads between two barriers: a missing barrier changes results
//   * shared memory is an allocation of exactly the bytes asked for, poisoned with NaNs: reading before writing shows
//   in
//     the results, and under AddressSanitizer an access outside ends the test
//   * threads that wait for each other in vain, or meet in a warp operation with different operations, are reported
// Everything runs on the calling thread, so atomics are plain operations.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

namespace simt {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

// A mistake of the kernel's: deadlock, threads that diverge in a collective operation, a launch that no device takes.
struct KernelError : std::logic_error {
  using std::logic_error::logic_error;
};

constexpr int kWarpSize = 32;
constexpr int kMaxThreads = 1024;
constexpr int kNamedBarriers = 16;

// Runs `body` for every thread of every block. Throws KernelError, and what body throws.
void launch(Dim3 grid, Dim3 block, size_t shared_bytes, const std::function<void()>& body);

// The seed of the order of blocks and threads; every launch draws from it.
void set_seed(uint64_t seed);

// ---- For the running thread.
Dim3 thread_index();
Dim3 block_index();
Dim3 block_size();
Dim3 grid_size();
std::byte* shared_memory();
int lane();

// bar.sync: waits until `threads` threads of the block have arrived at barrier `id`; threads = 0 means all.
void barrier(int id, int threads);

// A warp operation: every lane of `mask` brings what it has; when all have come, `complete` is called once with the
// lanes' operands (null for those outside the mask), and all go on. Lanes must agree on `complete`, `name` and `mask`.
using Complete = void (*)(void* const operands[kWarpSize]);
void warp_collective(uint32_t mask, const char* name, Complete complete, void* operand);

// cp.async of the running thread: the copy is made when the group it is committed to is waited for, so that reading too
// early shows. A null `from` writes zeros.
void async_copy(void* to, const void* from, size_t bytes);
void async_commit();
// Completes all groups but the latest `groups`.
void async_wait(int groups);

}  // namespace simt
