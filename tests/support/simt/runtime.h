#pragma once
// A miniature GPU on the host. It runs a kernel that the host compiler has compiled, one block after another. The
// threads of a block are fibers that yield at barriers and warp operations. This shows whether a kernel's indexing and
// synchronisation are right. It does not show how fast the kernel is.
//   * Blocks run in shuffled order, and so do threads between two barriers: a missing barrier changes the results.
//     With Timing::interleaved, two blocks overlap and threads also take turns between barriers.
//   * Races in shared memory are reported (shared_accesses.h) where the compiler can trace accesses: in builds by
//     clang.
//   * Shared memory has exactly the requested size and is poisoned with NaNs: reading before writing shows in the
//     results, and under AddressSanitizer an access out of bounds ends the test.
//   * Deadlocks are reported, and so are lanes of a warp that call different warp operations.
// Everything runs on the calling thread, so atomics are plain operations.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

namespace simt {

class SharedAccesses;

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

// A bug in a kernel: a deadlock, threads that diverge in a warp operation, or launch dimensions that no device accepts.
struct KernelError : std::logic_error {
  using std::logic_error::logic_error;
};

constexpr int kWarpSize = 32;
constexpr int kMaxThreads = 1024;
constexpr int kNamedBarriers = 16;

// Runs `body` for every thread of every block. Throws KernelError and whatever `body` throws.
void launch(Dim3 grid, Dim3 block, size_t shared_bytes, const std::function<void()>& body);

// Seeds the random order of blocks and threads.
void set_seed(uint64_t seed);

// How kernels run.
//   * late: a cp.async copies when its group is waited for, blocks run one after another, and threads take turns at
//     barriers and warp operations.
//   * early: like late, but a cp.async copies immediately.
//   * interleaved: a cp.async copies at a random time, and two blocks overlap. If accesses to shared memory are traced,
//     threads also take turns at random accesses.
enum class Timing { late, early, interleaved };
// Sets how kernels run from now on.
void set_timing(Timing timing);

// Notes an access to memory by the running thread. Outside kernels, it has no effect.
void note_access(const void* address, size_t bytes, bool write);
// While an object lives, accesses of the running thread are atomic.
class AtomicAccess {
 public:
  AtomicAccess();
  ~AtomicAccess();
};

// ---- Called by the running thread.
Dim3 thread_index();
Dim3 block_index();
Dim3 block_size();
Dim3 grid_size();
std::byte* shared_memory();
int lane();

// bar.sync: waits until `threads` threads of the block have arrived at barrier `id`; threads = 0 means all.
void barrier(int id, int threads);

// A warp operation. Every lane of `mask` passes its operand and waits; when the last one arrives, `complete` is called
// once with all operands (null for lanes outside the mask), and the lanes continue. Lanes must agree on `complete`,
// `name` and `mask`.
using Complete = void (*)(void* const operands[kWarpSize]);
void warp_collective(uint32_t mask, const char* name, Complete complete, void* operand);

// Notes that a __syncwarp() of all lanes of the running thread's warp is complete.
void warp_synchronised();

// cp.async. A null `from` writes zeros.
void async_copy(void* to, const void* from, size_t bytes);
void async_commit();
// Completes all groups except the latest `groups` ones.
void async_wait(int groups);

// ---- For simulating further instructions (hopper.cpp).

// Throws KernelError, and names the running thread if there is one.
[[noreturn]] void fault(const std::string& what);

Timing current_timing();
uint64_t random_below(uint64_t limit);
int thread_number();  // in its block
int threads_of_block();
size_t shared_bytes();

// Lets other threads run until ready(context) is true. If no thread can run any more, the report of the deadlock
// contains "waits " + describe(context) for this thread.
void wait_until(bool (*ready)(void*), std::string (*describe)(void*), void* context);
// Lets other threads run for a while.
void give_way();
// The object that finds races in the running block (shared_accesses.h). Further instructions must note their accesses
// in it.
SharedAccesses& shared_accesses();

// A block's state for further instructions. block_state() is null when the block starts.
struct BlockState {
  virtual ~BlockState() = default;
  // Called after threads have run. `stuck`: no thread could run. Returns whether anything happened.
  virtual bool advance(bool stuck) = 0;
  // Called when all threads have ended.
  virtual void end() = 0;
};
std::unique_ptr<BlockState>& block_state();

}  // namespace simt
