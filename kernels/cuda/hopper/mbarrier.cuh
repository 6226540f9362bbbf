#pragma once
// Barriers in shared memory that count arrivals of threads and bytes of bulk copies. Compute capability 9.0a. Beside
// each wrapper is a call into tests/support/simt, which checks the rules of the PTX ISA.
#include "kernels/cuda/instructions.cuh"
#ifdef GPTMOE_SIMT
#include "simt/hopper.h"
#endif

namespace gptmoe::cuda {

// A barrier passes through phases 0, 1, 2, .... A phase ends when all its arrivals and all its bytes have come.
using Mbarrier = uint64_t;

// Starts phase 0, which expects `arrivals` arrivals, as does every later phase. Before other threads use the barrier,
// the block needs a barrier; before bulk copies use it, also fence_async_proxy() by the calling thread.
__device__ inline void mbarrier_init(Mbarrier* barrier, uint32_t arrivals) {
#ifdef GPTMOE_SIMT
  ::simt::mbarrier_init(barrier, arrivals);
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
#endif
}

// One arrival. What the thread wrote before is visible to threads that see the phase end.
__device__ inline void mbarrier_arrive(Mbarrier* barrier) {
#ifdef GPTMOE_SIMT
  ::simt::mbarrier_arrive(barrier, 0);
#else
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(shared_address(barrier)) : "memory");
#endif
}

// One arrival, after the phase has been told to expect `bytes` more bytes of bulk copies.
__device__ inline void mbarrier_arrive_expect(Mbarrier* barrier, uint32_t bytes) {
#ifdef GPTMOE_SIMT
  ::simt::mbarrier_arrive(barrier, bytes);
#else
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
#endif
}

// True if the last phase that ended has this parity: 0 for phases 0, 2, 4, .... Otherwise it waits for a while, which a
// GPU limits, and may return false. A new barrier counts as if a phase of parity 1 had ended.
__device__ inline bool mbarrier_try_wait(Mbarrier* barrier, uint32_t parity) {
#ifdef GPTMOE_SIMT
  return ::simt::mbarrier_try_wait(barrier, parity);
#else
  uint32_t ended;
  asm volatile(
      "{\n.reg .pred p;\n"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
      "selp.u32 %0, 1, 0, p;\n}\n"
      : "=r"(ended)
      : "r"(shared_address(barrier)), "r"(parity)
      : "memory");
  return ended != 0;
#endif
}

// Waits until mbarrier_try_wait() is true. A wait of ten seconds is a deadlock: it ends the kernel with a trap, so that
// the program reports an error. The simulator reports deadlocks itself.
__device__ inline void mbarrier_wait(Mbarrier* barrier, uint32_t parity) {
#ifdef GPTMOE_SIMT
  while (!mbarrier_try_wait(barrier, parity)) {
  }
#else
  if (mbarrier_try_wait(barrier, parity)) return;
  const auto nanoseconds = [] {
    uint64_t now;
    asm volatile("mov.u64 %0, %globaltimer;\n" : "=l"(now));
    return now;
  };
  constexpr uint64_t kMost = 10'000'000'000;
  const uint64_t start = nanoseconds();
  while (!mbarrier_try_wait(barrier, parity))
    if (nanoseconds() - start > kMost) __trap();
#endif
}

}  // namespace gptmoe::cuda
