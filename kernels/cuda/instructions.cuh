#pragma once
// Wrappers for instructions that have no name in CUDA C++, as the PTX ISA defines them. Beside each wrapper is its
// emulation on the host for tests/support/simt. The instructions need compute capability 8.0 or later.
#include "kernels/cuda/common.cuh"

namespace gptmoe::cuda {

// Two bf16 in a register, the lower index in the lower half.
using Bf16x2 = uint32_t;

__device__ inline Bf16x2 pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  Bf16x2 bits;
  memcpy(&bits, &pair, sizeof bits);
  return bits;
}

#ifdef GPTMOE_SIMT
__device__ inline float bf16_half(Bf16x2 pair, int half) {
  return std::bit_cast<float>(half == 0 ? pair << 16 : pair & 0xFFFF0000u);
}
#endif

// ---- mma.sync.m16n8k16, bf16 in, f32 out: d += a b, for a whole warp. With g = lane / 4 and t = lane % 4 a lane holds
//   a[0] rows g,   k 2t..2t+1      a[2] rows g,   k 2t+8..2t+9       (A is 16 x 16, row by row)
//   a[1] rows g+8, k 2t..2t+1      a[3] rows g+8, k 2t+8..2t+9
//   b[0] k 2t..2t+1, column g      b[1] k 2t+8..2t+9, column g       (B is 16 x 8)
//   d[0], d[1] row g, columns 2t, 2t+1      d[2], d[3] row g+8       (D is 16 x 8)
#ifdef GPTMOE_SIMT
struct MmaOperand {
  float* d;
  const uint32_t *a, *b;
};
inline void mma_complete(void* const operands[32]) {
  float a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& own = *static_cast<MmaOperand*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 8; ++i) a[g + (i / 2 % 2) * 8][2 * t + i % 2 + (i / 4) * 8] = bf16_half(own.a[i / 2], i % 2);
    for (int i = 0; i < 4; ++i) b[2 * t + i % 2 + (i / 2) * 8][g] = bf16_half(own.b[i / 2], i % 2);
    for (int i = 0; i < 4; ++i) d[g + (i / 2) * 8][2 * t + i % 2] = own.d[i];
  }
  ::simt::tensor_core_multiply(d, a, b);
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i)
      static_cast<MmaOperand*>(operands[lane])->d[i] = d[lane / 4 + (i / 2) * 8][2 * (lane % 4) + i % 2];
}
#endif
__device__ inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#ifdef GPTMOE_SIMT
  MmaOperand operand{d, a, b};
  ::simt::warp_collective(kAllLanes, "mma_bf16", mma_complete, &operand);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// ---- The address of a byte in shared memory: 32 bits on a device, where pointers have 64. Kernels that compute many
// addresses convert a pointer once and calculate with such addresses.
#ifdef GPTMOE_SIMT
using SharedAddress = uintptr_t;
#else
using SharedAddress = uint32_t;
#endif
__device__ inline SharedAddress shared_address(const void* pointer) {
#ifdef GPTMOE_SIMT
  return reinterpret_cast<uintptr_t>(pointer);
#else
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
#endif
}

// ---- ldmatrix.x4: four 8 x 8 matrices of 16-bit elements from shared memory. Lane 8j + i gives the address of row i
// of matrix j (16 bytes, 16-byte aligned). out[j] of lane l then holds two elements of matrix j: in row l / 4, columns
// 2 (l % 4) and 2 (l % 4) + 1. In the transposed form, they are in rows 2 (l % 4) and 2 (l % 4) + 1, column l / 4.
#ifdef GPTMOE_SIMT
struct LdmatrixOperand {
  uint32_t* out;
  const void* row;
};
template <bool kTransposed>
inline void ldmatrix_complete(void* const operands[32]) {
  for (int lane = 0; lane < 32; ++lane)
    for (int matrix = 0; matrix < 4; ++matrix) {
      const auto element = [&](int row, int column) -> uint32_t {
        const auto* elements =
            static_cast<const uint16_t*>(static_cast<LdmatrixOperand*>(operands[matrix * 8 + row])->row);
        return elements[column];
      };
      const int major = lane / 4, minor = 2 * (lane % 4);
      static_cast<LdmatrixOperand*>(operands[lane])->out[matrix] =
          kTransposed ? element(minor, major) | element(minor + 1, major) << 16
                      : element(major, minor) | element(major, minor + 1) << 16;
    }
}
#endif
template <bool kTransposed>
__device__ inline void ldmatrix(uint32_t (&out)[4], SharedAddress row) {
#ifdef GPTMOE_SIMT
  expect_aligned<16>(reinterpret_cast<const void*>(row));
  LdmatrixOperand operand{out, reinterpret_cast<const void*>(row)};
  ::simt::warp_collective(kAllLanes, kTransposed ? "ldmatrix.trans" : "ldmatrix", ldmatrix_complete<kTransposed>,
                          &operand);
#else
  if constexpr (kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(row));
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(row));
#endif
}
template <bool kTransposed>
__device__ inline void ldmatrix(uint32_t (&out)[4], const void* row) {
  ldmatrix<kTransposed>(out, shared_address(row));
}

// ---- cp.async: copies 16 bytes from global to shared memory, without registers. Both addresses are 16-byte aligned.
// If `valid` is false, it writes zeros and reads nothing. Copies belong to the group that the next cp_async_commit()
// closes. After cp_async_wait<n>(), which leaves at most n of the latest groups in flight, a thread may read the data
// of its own copies. Other threads may read it after a barrier that follows.
__device__ inline void cp_async_16(SharedAddress to, const void* from, bool valid = true) {
#ifdef GPTMOE_SIMT
  expect_aligned<16>(reinterpret_cast<const void*>(to));
  if (valid) expect_aligned<16>(from);
  ::simt::async_copy(reinterpret_cast<void*>(to), valid ? from : nullptr, 16);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(valid ? 16 : 0));
#endif
}
__device__ inline void cp_async_16(void* to, const void* from, bool valid = true) {
  cp_async_16(shared_address(to), from, valid);
}
// Copies 4 bytes in the same way, with 4-byte alignment.
__device__ inline void cp_async_4(void* to, const void* from, bool valid = true) {
#ifdef GPTMOE_SIMT
  expect_aligned<4>(to);
  if (valid) expect_aligned<4>(from);
  ::simt::async_copy(to, valid ? from : nullptr, 4);
#else
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(shared_address(to)), "l"(from),
               "r"(valid ? 4 : 0));
#endif
}
__device__ inline void cp_async_commit() {
#ifdef GPTMOE_SIMT
  ::simt::async_commit();
#else
  asm volatile("cp.async.commit_group;\n");
#endif
}
template <int kGroups>
__device__ inline void cp_async_wait() {
#ifdef GPTMOE_SIMT
  ::simt::async_wait(kGroups);
#else
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kGroups));
#endif
}

// ---- prefetch.global.L2: brings the line of 128 bytes around an address to the L2 cache, for a load that comes later.
__device__ inline void prefetch_l2([[maybe_unused]] const void* address) {
#ifndef GPTMOE_SIMT
  asm volatile("prefetch.global.L2 [%0];\n" ::"l"(__cvta_generic_to_global(address)));
#endif
}

// ---- ex2.approx: 2^x to 2 units in the last place, 1 for 0, and 0 for minus infinity. rcp.approx: 1 / x to 1 unit in
// the last place, 0 for infinity and infinity for 0. Both take subnormal numbers for 0 and give 0 for them.
__device__ inline float exp2_approximate(float x) {
#ifdef GPTMOE_SIMT
  return ::simt::exp2_approximate(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
#endif
}
__device__ inline float reciprocal_approximate(float x) {
#ifdef GPTMOE_SIMT
  return ::simt::reciprocal_approximate(x);
#else
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
#endif
}

}  // namespace gptmoe::cuda
