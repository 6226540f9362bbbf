#pragma once
// SwiGLU and its gradient as epilogues of products (gemm_operand.cuh).
#include "kernels/cuda/gemm_operand.cuh"
#include "kernels/cuda/swiglu.cuh"

namespace gptmoe::cuda {

// Stores h and a = swiglu(h), where the tile is h. Its columns alternate between gates and ups (gate f, up f, gate f +
// 1, ...), so that one thread has both the gate and the up of a feature. `gate` (in h) and `a` (in a) point to the
// tile's first row and feature. From there, `rows` rows and `features` features remain.
template <typename T>
struct SwigluTile {
  static constexpr int kTogether = 2;
  T *gate, *a;
  int64_t F;
  int rows, features;

  template <int kRows, int kCount>
  __device__ void operator()(int row, int step, int column, const float (&values)[kRows][kCount]) const {
    constexpr int kFeatures = kCount / 2;
    const int feature = column / 2;
    GPTMOE_UNROLL
    for (int i = 0; i < kRows; ++i) {
      const int r = row + i * step;
      if (r >= rows || feature >= features) continue;
      Pack<T, kFeatures> gates, ups, products;
      GPTMOE_UNROLL
      for (int j = 0; j < kFeatures; ++j) {
        gates.set(j, values[i][2 * j]);
        ups.set(j, values[i][2 * j + 1]);
        products.set(j, swiglu<T>(values[i][2 * j], values[i][2 * j + 1]));
      }
      gates.store_whole(gate + 2 * F * r + feature);
      ups.store_whole(gate + 2 * F * r + F + feature);
      products.store_whole(a + F * r + feature);
    }
  }
};

// Stores dh, where the tile is da, which is never written to memory. `dgate` (in dh) and `gate` (in h) point to the
// tile's first row and feature. All of h is read before anything is written, so that rows do not wait for memory one by
// one. If dh is h, each thread reads exactly what it overwrites.
template <typename T>
struct SwigluGradientTile {
  static constexpr int kTogether = 1;
  T* dgate;
  const T* gate;
  int64_t F;
  int rows, features;

  template <int kRows, int kCount>
  __device__ void operator()(int row, int step, int column, const float (&da)[kRows][kCount]) const {
    constexpr int kWide = kCount * sizeof(T) > 16 ? 16 / sizeof(T) : kCount;
    constexpr int kPacks = kCount / kWide;
    Pack<T, kWide> gates[kRows][kPacks], ups[kRows][kPacks];
    const auto for_each = [&](auto visit) {
      GPTMOE_UNROLL
      for (int i = 0; i < kRows; ++i) {
        const int r = row + i * step;
        if (r >= rows || column >= features) continue;
        GPTMOE_UNROLL
        for (int j = 0; j < kPacks; ++j) visit(i, j, 2 * F * r + column + j * kWide);
      }
    };
    for_each([&](int i, int j, int64_t at) {
      gates[i][j] = Pack<T, kWide>::load(gate + at);
      ups[i][j] = Pack<T, kWide>::load(gate + F + at);
    });
    for_each([&](int i, int j, int64_t at) {
      GPTMOE_UNROLL
      for (int k = 0; k < kWide; ++k) {
        const SwigluGradient dh = swiglu_gradient<T>(da[i][j * kWide + k], gates[i][j][k], ups[i][j][k]);
        gates[i][j].set(k, dh.gate);
        ups[i][j].set(k, dh.up);
      }
      gates[i][j].store_whole(dgate + at);
      ups[i][j].store_whole(dgate + F + at);
    });
  }
};

}  // namespace gptmoe::cuda
