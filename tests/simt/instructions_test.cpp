// The emulated GPU instructions, compared with plain loops.
#include "kernels/cuda/instructions.cuh"

#include <gtest/gtest.h>

#include <vector>

namespace gptmoe::cuda {
namespace {

uint16_t bits(float x) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(x) >> 16); }
float value(uint16_t x) { return std::bit_cast<float>(uint32_t{x} << 16); }

// Computes C = A B with ldmatrix and mma as a kernel does. A is row-major; B is stored once as (n, k) and once as (k,
// n), which ldmatrix transposes.
TEST(InstructionsTest, LdmatrixAndMmaMultiply) {
  std::vector<uint16_t> a(16 * 16), b_nk(16 * 16), b_kn(16 * 16);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) {
      a[i * 16 + j] = bits(static_cast<float>((i * 7 + j * 3) % 11 - 5));
      b_nk[i * 16 + j] = bits(static_cast<float>((i * 5 + j * 2) % 7 - 3));  // n = i, k = j
      b_kn[j * 16 + i] = b_nk[i * 16 + j];
    }
  for (const bool transposed : {false, true}) {
    std::vector<float> c(16 * 16, -1);
    simt::launch({1}, {32}, 1024, [&] {
      auto* shared = shared_memory<uint16_t>();
      const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
      for (int i = lane; i < 256; i += 32) {
        shared[i] = a[i];
        shared[256 + i] = (transposed ? b_kn : b_nk)[i];
      }
      __syncwarp();
      uint32_t rows[4], columns[4];
      // Matrices of A: rows 0-7 and 8-15 at k 0-7, then at k 8-15.
      ldmatrix<false>(rows, shared + (lane % 16) * 16 + lane / 16 * 8);
      // Matrices of B: n 0-7 at k 0-7 and 8-15, then n 8-15.
      if (transposed)
        ldmatrix<true>(columns, shared + 256 + (lane % 16) * 16 + lane / 16 * 8);
      else
        ldmatrix<false>(columns, shared + 256 + (lane % 8 + lane / 16 * 8) * 16 + lane / 8 % 2 * 8);
      for (int half = 0; half < 2; ++half) {
        float d[4] = {0, 0, 0, 0};
        const uint32_t b[2] = {columns[2 * half], columns[2 * half + 1]};
        mma_bf16(d, rows, b);
        for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 16 + half * 8 + 2 * t + i % 2] = d[i];
      }
    });
    for (int m = 0; m < 16; ++m)
      for (int n = 0; n < 16; ++n) {
        float sum = 0;
        for (int k = 0; k < 16; ++k) sum += value(a[m * 16 + k]) * value(b_nk[n * 16 + k]);
        EXPECT_EQ(c[m * 16 + n], sum) << m << " " << n << (transposed ? " transposed" : "");
      }
  }
}

TEST(InstructionsTest, AsynchronousCopiesArriveWhenWaitedFor) {
  alignas(16) const int from[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  simt::launch({1}, {1}, 56, [&] {
    int* to = shared_memory<int>();
    cp_async_16(to, from);
    cp_async_commit();
    cp_async_16(to + 4, from + 4);
    cp_async_16(to + 8, from, false);
    cp_async_4(to + 12, from + 2);
    cp_async_4(to + 13, from, false);
    cp_async_commit();
    if (to[0] != -1) throw std::runtime_error("too early");
    cp_async_wait<1>();
    if (to[0] != 1 || to[3] != 4 || to[4] != -1) throw std::runtime_error("not exactly the first group");
    cp_async_wait<0>();
    if (to[4] != 5 || to[8] != 0 || to[12] != 3 || to[13] != 0) throw std::runtime_error("all");
  });
}

TEST(InstructionsTest, PackingKeepsTheOrder) {
  const Bf16x2 pair = pack_bf16(1.5f, -2.0f);
  EXPECT_EQ(value(static_cast<uint16_t>(pair)), 1.5f);
  EXPECT_EQ(value(static_cast<uint16_t>(pair >> 16)), -2.0f);
}

}  // namespace
}  // namespace gptmoe::cuda
