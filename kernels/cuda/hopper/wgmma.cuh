#pragma once
// Matrix products of a warpgroup: four warps, the first of which is a multiple of 4. bf16 operands from shared memory
// or, for A, from registers; f32 sums in registers. Compute capability 9.0a.
//
//   wgmma_fence();                            // after the last access to the registers
//   wgmma<...>(d, a, b, accumulate); ...      // d and the registers of a are now off limits
//   wgmma_commit();
//   wgmma_wait<0>();                          // d and a may be touched, the shared memory of a and b overwritten
#include "kernels/cuda/hopper/shared_swizzle.h"
#include "kernels/cuda/instructions.cuh"
#ifdef GPTMOE_SIMT
#include "simt/hopper.h"
#endif

namespace gptmoe::cuda {

// Which index of an operand is contiguous in shared memory: k, or the row of A and the column of B.
enum class Major { k, mn };

// Describes an operand in shared memory. `start` is a multiple of 16. What the two offsets (bytes, multiples of 16
// below 2^18) mean:
//                     leading                            stride
//   k, none           from 8 k to the next 8             from 8 rows to the next 8
//   k, swizzled       unused                             from 8 rows to the next 8
//   mn, none          from 8 k to the next 8             from 8 rows to the next 8
//   mn, swizzled      from one swizzle's width of rows   from 8 k to the next 8
//                     to the next
// The pattern of the swizzle begins at multiples of 8 times its width, as for tensor_load().
__device__ inline uint64_t matrix_descriptor(const void* start, uint32_t leading, uint32_t stride,
                                             SharedSwizzle swizzle) {
#ifdef GPTMOE_SIMT
  const uint32_t address = ::simt::descriptor_address(start, leading, stride);
#else
  const uint32_t address = shared_address(start);
#endif
  const auto encode = [](uint32_t bytes) { return static_cast<uint64_t>((bytes & 0x3FFFF) >> 4); };
  return encode(address) | encode(leading) << 16 | encode(stride) << 32 | static_cast<uint64_t>(swizzle) << 62;
}

__device__ inline void wgmma_fence() {
#ifdef GPTMOE_SIMT
  ::simt::wgmma_fence();
#else
  asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
#endif
}
__device__ inline void wgmma_commit() {
#ifdef GPTMOE_SIMT
  ::simt::wgmma_commit();
#else
  asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
#endif
}
// Waits until all but the latest `kGroups` groups of products are complete.
template <int kGroups>
__device__ inline void wgmma_wait() {
#ifdef GPTMOE_SIMT
  ::simt::wgmma_wait(kGroups);
#else
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(kGroups) : "memory");
#endif
}

#ifndef GPTMOE_SIMT
// The names of ten registers of an asm statement, whose numbers begin with `tens`; and eight operands.
#define GPTMOE_TEN(tens)                                                                                               \
  "%" tens "0, %" tens "1, %" tens "2, %" tens "3, %" tens "4, %" tens "5, %" tens "6, %" tens "7, %" tens "8, %" tens \
  "9, "
#define GPTMOE_EIGHT(d, i)                                                                                    \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])
#define GPTMOE_D32(d) GPTMOE_EIGHT(d, 0), GPTMOE_EIGHT(d, 8), GPTMOE_EIGHT(d, 16), GPTMOE_EIGHT(d, 24)
#define GPTMOE_D64(d) GPTMOE_D32(d), GPTMOE_EIGHT(d, 32), GPTMOE_EIGHT(d, 40), GPTMOE_EIGHT(d, 48), GPTMOE_EIGHT(d, 56)
#define GPTMOE_D128(d)                                                                               \
  GPTMOE_D64(d), GPTMOE_EIGHT(d, 64), GPTMOE_EIGHT(d, 72), GPTMOE_EIGHT(d, 80), GPTMOE_EIGHT(d, 88), \
      GPTMOE_EIGHT(d, 96), GPTMOE_EIGHT(d, 104), GPTMOE_EIGHT(d, 112), GPTMOE_EIGHT(d, 120)
#define GPTMOE_NAMES32 GPTMOE_TEN("") GPTMOE_TEN("1") GPTMOE_TEN("2") "%30, %31"
#define GPTMOE_NAMES60 GPTMOE_TEN("") GPTMOE_TEN("1") GPTMOE_TEN("2") GPTMOE_TEN("3") GPTMOE_TEN("4") GPTMOE_TEN("5")
#define GPTMOE_NAMES64 GPTMOE_NAMES60 "%60, %61, %62, %63"
#define GPTMOE_NAMES128                                                                           \
  GPTMOE_NAMES60 GPTMOE_TEN("6") GPTMOE_TEN("7") GPTMOE_TEN("8") GPTMOE_TEN("9") GPTMOE_TEN("10") \
      GPTMOE_TEN("11") "%120, %121, %122, %123, %124, %125, %126, %127"
// A product whose operands after the sums have the numbers p0, p1, ....
#define GPTMOE_WGMMA_SHARED(n, names, operands, p0, p1, p2, p3, p4)                                 \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" p2 ", 0;\nwgmma.mma_async.sync.aligned.m64n" n  \
               "k16.f32.bf16.bf16 {" names "}, %" p0 ", %" p1 ", p, 1, 1, %" p3 ", %" p4 ";\n}\n"   \
               : operands                                                                           \
               : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)), "n"(static_cast<int>(kMajorA)), \
                 "n"(static_cast<int>(kMajorB))                                                     \
               : "memory")
#define GPTMOE_WGMMA_REGISTERS(n, names, operands, p0, p1, p2, p3, p4, p5, p6)                                        \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" p5 ", 0;\nwgmma.mma_async.sync.aligned.m64n" n                    \
               "k16.f32.bf16.bf16 {" names "}, {%" p0 ", %" p1 ", %" p2 ", %" p3 "}, %" p4 ", p, 1, 1, %" p6 ";\n}\n" \
               : operands                                                                                             \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(accumulate)),               \
                 "n"(static_cast<int>(kMajorB))                                                                       \
               : "memory")
#endif

// d += a b, or d = a b: A is 64 x 16, B is 16 x kN. Lane l of warp w holds of D, with g = l / 4 and t = l % 4,
//   d[4j], d[4j+1]    row 16 (w % 4) + g,     columns 8j + 2t, 8j + 2t + 1
//   d[4j+2], d[4j+3]  row 16 (w % 4) + g + 8, the same columns
template <int kN, Major kMajorA, Major kMajorB>
__device__ inline void wgmma(float (&d)[kN / 2], uint64_t a, uint64_t b, bool accumulate) {
  static_assert(kN == 64 || kN == 128 || kN == 256);
#ifdef GPTMOE_SIMT
  ::simt::wgmma({.d = d,
                 .n = kN,
                 .a_registers = nullptr,
                 .a = a,
                 .b = b,
                 .accumulate = accumulate,
                 .mn_major_a = kMajorA == Major::mn,
                 .mn_major_b = kMajorB == Major::mn});
#else
  if constexpr (kN == 64)
    GPTMOE_WGMMA_SHARED("64", GPTMOE_NAMES32, GPTMOE_D32(d), "32", "33", "34", "35", "36");
  else if constexpr (kN == 128)
    GPTMOE_WGMMA_SHARED("128", GPTMOE_NAMES64, GPTMOE_D64(d), "64", "65", "66", "67", "68");
  else
    GPTMOE_WGMMA_SHARED("256", GPTMOE_NAMES128, GPTMOE_D128(d), "128", "129", "130", "131", "132");
#endif
}

// The same with A from registers: a[0] row 16 (w % 4) + g, k 2t and 2t+1; a[1] row + 8; a[2], a[3] as these, k + 8.
template <int kN, Major kMajorB>
__device__ inline void wgmma(float (&d)[kN / 2], const Bf16x2 (&a)[4], uint64_t b, bool accumulate) {
  static_assert(kN == 64 || kN == 128 || kN == 256);
#ifdef GPTMOE_SIMT
  ::simt::wgmma({.d = d,
                 .n = kN,
                 .a_registers = a,
                 .a = 0,
                 .b = b,
                 .accumulate = accumulate,
                 .mn_major_a = false,
                 .mn_major_b = kMajorB == Major::mn});
#else
  if constexpr (kN == 64)
    GPTMOE_WGMMA_REGISTERS("64", GPTMOE_NAMES32, GPTMOE_D32(d), "32", "33", "34", "35", "36", "37", "38");
  else if constexpr (kN == 128)
    GPTMOE_WGMMA_REGISTERS("128", GPTMOE_NAMES64, GPTMOE_D64(d), "64", "65", "66", "67", "68", "69", "70");
  else
    GPTMOE_WGMMA_REGISTERS("256", GPTMOE_NAMES128, GPTMOE_D128(d), "128", "129", "130", "131", "132", "133", "134");
#endif
}
#ifndef GPTMOE_SIMT
#undef GPTMOE_TEN
#undef GPTMOE_EIGHT
#undef GPTMOE_D32
#undef GPTMOE_D64
#undef GPTMOE_D128
#undef GPTMOE_NAMES32
#undef GPTMOE_NAMES60
#undef GPTMOE_NAMES64
#undef GPTMOE_NAMES128
#undef GPTMOE_WGMMA_SHARED
#undef GPTMOE_WGMMA_REGISTERS
#endif

}  // namespace gptmoe::cuda
