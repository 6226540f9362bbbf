#pragma once
// Defines nvcc's built-in variables and functions for a host compiler, as far as our kernels use them. The definitions
// need the CUDA toolkit's headers and tests/support/simt/runtime.h. kernels/cuda/common.cuh includes this file when the
// kernels are compiled for the host.
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "simt/launch.h"
#include "simt/runtime.h"
#include "simt/tensor_core.h"
#include "simt/traced_memory.h"

#undef __global__
#undef __device__
#undef __host__
#undef __forceinline__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define threadIdx (::simt::thread_index())
#define blockIdx (::simt::block_index())
#define blockDim (::simt::block_size())
#define gridDim (::simt::grid_size())

using std::max;
using std::min;

inline void __syncthreads() { ::simt::barrier(0, 0); }

namespace simt {

template <typename T>
struct Shuffle {
  T value, result;
  int source;  // the lane whose value this lane gets; outside the warp or the mask, this lane keeps its own value
};

template <typename T>
T shuffle(uint32_t mask, const char* name, T value, int source) {
  Shuffle<T> operand{value, value, source};
  warp_collective(
      mask, name,
      [](void* const operands[kWarpSize]) {
        for (int lane = 0; lane < kWarpSize; ++lane) {
          auto* own = static_cast<Shuffle<T>*>(operands[lane]);
          if (!own || own->source < 0 || own->source >= kWarpSize) continue;
          if (const auto* other = static_cast<const Shuffle<T>*>(operands[own->source])) own->result = other->value;
        }
      },
      &operand);
  return operand.result;
}

// ---- Approximate functions. Their errors are as large as CUDA's manuals allow, and depend only on the exact result.

// `exact` with an error of at most `ulps` units in the last place.
inline float off_by(int ulps, float exact) {
  if (!std::isnormal(exact)) return exact;
  const auto bits = std::bit_cast<uint32_t>(exact);
  const auto error = static_cast<int>((bits * 0x9E3779B9u >> 8) % static_cast<unsigned>(2 * ulps + 1)) - ulps;
  const auto result = std::bit_cast<float>(bits + static_cast<uint32_t>(error));
  return std::isfinite(result) ? result : exact;
}
inline float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }
inline float exp2_approximate(float x) { return x == 0 ? 1.0f : flushed(off_by(2, std::exp2(flushed(x)))); }
inline float reciprocal_approximate(float x) { return flushed(off_by(1, 1.0f / flushed(x))); }

struct Vote {
  bool predicate;
  uint32_t ballot;
};

inline uint32_t ballot(uint32_t mask, bool predicate) {
  Vote operand{predicate, 0};
  warp_collective(
      mask, "ballot",
      [](void* const operands[kWarpSize]) {
        uint32_t bits = 0;
        for (int lane = 0; lane < kWarpSize; ++lane)
          if (operands[lane] && static_cast<Vote*>(operands[lane])->predicate) bits |= 1u << lane;
        for (int lane = 0; lane < kWarpSize; ++lane)
          if (operands[lane]) static_cast<Vote*>(operands[lane])->ballot = bits;
      },
      &operand);
  return operand.ballot;
}

struct Match {
  int64_t value;
  uint32_t same;
};

inline uint32_t match_any(uint32_t mask, int64_t value) {
  Match operand{value, 0};
  warp_collective(
      mask, "__match_any_sync",
      [](void* const operands[kWarpSize]) {
        for (int lane = 0; lane < kWarpSize; ++lane) {
          auto* own = static_cast<Match*>(operands[lane]);
          for (int other = 0; own && other < kWarpSize; ++other)
            if (operands[other] && static_cast<Match*>(operands[other])->value == own->value) own->same |= 1u << other;
        }
      },
      &operand);
  return operand.same;
}

}  // namespace simt

inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) {
  int nothing = 0;
  ::simt::warp_collective(
      mask, "__syncwarp",
      [](void* const operands[::simt::kWarpSize]) {
        if (std::count(operands, operands + ::simt::kWarpSize, nullptr) == 0) ::simt::warp_synchronised();
      },
      &nothing);
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int source) {
  return ::simt::shuffle(mask, "__shfl_sync", value, source);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return ::simt::shuffle(mask, "__shfl_xor_sync", value, ::simt::lane() ^ bits);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned by) {
  return ::simt::shuffle(mask, "__shfl_up_sync", value, ::simt::lane() - static_cast<int>(by));
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned by) {
  return ::simt::shuffle(mask, "__shfl_down_sync", value, ::simt::lane() + static_cast<int>(by));
}
inline unsigned __ballot_sync(unsigned mask, bool predicate) { return ::simt::ballot(mask, predicate); }
inline unsigned __match_any_sync(unsigned mask, int value) { return ::simt::match_any(mask, value); }
inline bool __any_sync(unsigned mask, bool predicate) { return ::simt::ballot(mask, predicate) != 0; }

template <typename T>
T atomicAdd(T* address, T value) {
  const ::simt::AtomicAccess atomic;
  return std::exchange(*address, *address + value);
}
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }
inline int __popc(unsigned bits) { return std::popcount(bits); }
inline int __clz(int bits) { return std::countl_zero(static_cast<unsigned>(bits)); }
inline int __ffs(int bits) { return bits ? std::countr_zero(static_cast<unsigned>(bits)) + 1 : 0; }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline float __expf(float x) { return ::simt::off_by(2 + static_cast<int>(1.173f * std::abs(x)), std::exp(x)); }
