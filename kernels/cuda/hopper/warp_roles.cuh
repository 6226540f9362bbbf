#pragma once
// For kernels whose warps do different work. Compute capability 9.0a.
#include "kernels/cuda/instructions.cuh"
#ifdef GPTMOE_SIMT
#include "simt/hopper.h"
#endif

namespace gptmoe::cuda {

// True in one lane of the warp, which every lane calls. It is the same lane each time, but which one is not specified.
__device__ inline bool elect_one() {
#ifdef GPTMOE_SIMT
  return ::simt::elect_one();
#else
  uint32_t elected;
  asm volatile(
      "{\n.reg .pred p;\n"
      "elect.sync _|p, 0xFFFFFFFF;\n"
      "selp.u32 %0, 1, 0, p;\n}\n"
      : "=r"(elected));
  return elected != 0;
#endif
}

// Waits until `threads` threads, a multiple of 32, have come to barrier `id`. __syncthreads() is barrier 0.
__device__ inline void named_barrier(int id, int threads) {
#ifdef GPTMOE_SIMT
  ::simt::named_barrier(id, threads);
#else
  asm volatile("bar.sync %0, %1;\n" ::"r"(id), "r"(threads) : "memory");
#endif
}

// Lowers or raises the registers of each thread of the warpgroup to kCount, a multiple of 8 from 24 to 256. Registers
// that one warpgroup gives up are there for another of the block, which waits for them. All four warps of a warpgroup
// call this, and synchronise before they call it again.
template <int kCount>
__device__ inline void give_registers() {
  static_assert(kCount >= 24 && kCount <= 256 && kCount % 8 == 0);
#ifdef GPTMOE_SIMT
  ::simt::set_registers(kCount, false);
#else
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(kCount));
#endif
}
template <int kCount>
__device__ inline void take_registers() {
  static_assert(kCount >= 24 && kCount <= 256 && kCount % 8 == 0);
#ifdef GPTMOE_SIMT
  ::simt::set_registers(kCount, true);
#else
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(kCount));
#endif
}

}  // namespace gptmoe::cuda
