// Router logits. One side of these matrix products has only 8 to 64 experts, so they cannot be faster than reading x
// (or writing dx) once, N C elements. f32 arithmetic on ordinary cores would be slower than that, so the products run
// on the bf16 tensor cores with f32 precision. A float is the sum of three bf16 numbers, its parts. A product of floats
// is the sum of the products of their parts, without those too small to matter. A bf16 x has one part, itself.
//
// Operands go directly from global memory to the fragments of mma_bf16: k and columns may be permuted as long as both
// operands are permuted alike, so every lane takes neighbouring elements in memory.
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/instructions.cuh"
#include "kernels/cuda/sums.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

// The number of parts that represent a T exactly, and the number that suffices for a gradient that is multiplied by a T
// or converted to T.
template <typename T>
constexpr int kExactParts = std::is_same_v<T, bf16> ? 1 : 3;
template <typename T>
constexpr int kGradientParts = std::is_same_v<T, bf16> ? 2 : 3;

template <int kParts>
__device__ void split_pair(float low, float high, uint32_t (&parts)[kParts]) {
  for (int p = 0; p < kParts; ++p) {
    parts[p] = pack_bf16(low, high);
    low -= __uint_as_float(parts[p] << 16);
    high -= __uint_as_float(parts[p] & 0xFFFF0000u);
  }
}
__device__ inline void split_pair(bf16 low, bf16 high, uint32_t (&parts)[1]) {
  const __nv_bfloat162 pair(low, high);
  memcpy(parts, &pair, sizeof pair);
}

// Adds a * b to d. Of the products of parts, only those of the kDepth highest orders of magnitude are added, the
// smallest first.
template <int kDepth, int kA, int kB>
__device__ void multiply(float (&d)[4], const uint32_t (&a)[kA][4], const uint32_t (&b)[kB][2]) {
  for (int depth = kDepth - 1; depth >= 0; --depth)
    for (int i = 0; i < kA; ++i)
      if (depth - i >= 0 && depth - i < kB) mma_bf16(d, a[i], b[depth - i]);
}

// Loads elements [at, at + kCount) of a row of `width` elements, in packs of N; zeros past the row's end.
template <int N, typename T, int kCount>
__device__ void load_part(T (&out)[kCount], const T* row, int64_t at, int64_t width) {
  for (int i = 0; i < kCount; i += N) {
    Pack<T, N> pack;
    for (int j = 0; j < N; ++j) pack.set(j, 0.0f);
    if (at + i < width) pack = Pack<T, N>::load(row + at + i);
    for (int j = 0; j < N; ++j) out[i + j] = pack.element[j];
  }
}
// The pack size for rows of floats, if other rows of the same width are read in packs of N.
template <int N>
constexpr int kFloats = N == 1 ? 1 : 4;

struct Sizes {
  int64_t N, C, E;
};

// This thread's lane, and its g and t in the layouts of mma_bf16.
struct Lane {
  int lane = static_cast<int>(threadIdx.x) % kWarp, g = lane / 4, t = lane % 4;
};

constexpr int kSplits = 4, kGroups = kWarps / kSplits;  // warps along C; groups of 32 rows

// Computes the logits of 32 rows and kTiles * 8 experts per group of warps. Each warp of the group takes every fourth
// block of 32 columns of x, and the sums of the warps are added at the end. Of the 32 columns, a lane holds 8 t .. 8 t
// + 7, which are its k of two mma steps.
template <typename T, int N, int kTiles>
__global__ void __launch_bounds__(kThreads) forward_kernel(float* logits, const T* x, const float* w, Sizes sizes) {
  constexpr int kValues = 2 * kTiles * 4;
  const auto [rows, C, E] = sizes;
  const Lane in;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, split = warp % kSplits, group = warp / kSplits;
  const int64_t row0 = (static_cast<int64_t>(blockIdx.x) * kGroups + group) * 32;
  const int64_t expert0 = static_cast<int64_t>(blockIdx.y) * kTiles * 8;

  float d[2][kTiles][4] = {};
  T ahead[2][2][8];  // next elements of x: m-tile, half
  const auto load_x = [&, rows = rows, C = C](int64_t at) {
    for (int m = 0; m < 2; ++m)
      for (int half = 0; half < 2; ++half) {
        const int64_t row = row0 + m * 16 + half * 8 + in.g;
        load_part<N>(ahead[m][half], x + row * C, at, row < rows ? C : 0);
      }
  };
  load_x(split * 32 + in.t * 8);
  for (int64_t c = split * 32; c < C; c += kSplits * 32) {
    uint32_t a[2][2][kExactParts<T>][4];  // m-tile, step
    for (int m = 0; m < 2; ++m)
      for (int i = 0; i < 8; ++i) {  // i: step, k quarter, half
        uint32_t parts[kExactParts<T>];
        const auto& values = ahead[m][i % 2];
        split_pair(values[i / 2 * 2], values[i / 2 * 2 + 1], parts);
        for (int p = 0; p < kExactParts<T>; ++p) a[m][i / 4][p][i % 2 + i / 2 % 2 * 2] = parts[p];
      }
    load_x(c + kSplits * 32 + in.t * 8);
    for (int j = 0; j < kTiles; ++j) {
      const int64_t e = expert0 + j * 8 + in.g;
      float values[8];
      load_part<kFloats<N>>(values, w + e * C, c + in.t * 8, e < E ? C : 0);
      for (int step = 0; step < 2; ++step) {
        uint32_t b[3][2];
        for (int q = 0; q < 2; ++q) {
          uint32_t parts[3];
          split_pair(values[step * 4 + q * 2], values[step * 4 + q * 2 + 1], parts);
          for (int p = 0; p < 3; ++p) b[p][q] = parts[p];
        }
        for (int m = 0; m < 2; ++m) multiply<3>(d[m][j], a[m][step], b);
      }
    }
  }

  auto* shared = shared_memory<float>();  // [warp][value][lane]
  GPTMOE_UNROLL
  for (int v = 0; v < kValues; ++v)
    shared[(warp * kValues + v) * kWarp + in.lane] = d[v / (kTiles * 4)][v / 4 % kTiles][v % 4];
  __syncthreads();
  for (int v = split; v < kValues; v += kSplits) {
    float sum = 0;
    for (int s = 0; s < kSplits; ++s) sum += shared[((group * kSplits + s) * kValues + v) * kWarp + in.lane];
    const int64_t row = row0 + v / (kTiles * 4) * 16 + v % 4 / 2 * 8 + in.g;
    const int64_t e = expert0 + v / 4 % kTiles * 8 + in.t * 2 + v % 2;
    if (row < rows && e < E) logits[row * E + e] = sum;
  }
}

// Sets dx to dlogits * w over `experts` of the E experts (at most kSteps * 16), or adds the product to dx. A group of
// warps handles 32 rows, and each of its warps takes every fourth block of 32 columns. Tile j has columns j, 4 + j, ...
// of the 32, so that a lane holds 8 neighbours in the end.
template <typename T, int N, int kSteps, Write kWrite>
__global__ void __launch_bounds__(kThreads)
    backward_input_kernel(T* dx, const float* dlogits, const float* w, Sizes sizes, int64_t experts) {
  constexpr int kParts = kGradientParts<T>;
  const auto [rows, C, E] = sizes;
  const Lane in;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t row0 = (static_cast<int64_t>(blockIdx.x) * kGroups + warp / kSplits) * 32;

  uint32_t a[2][kSteps][kParts][4];
  GPTMOE_UNROLL
  for (int m = 0; m < 2; ++m) GPTMOE_UNROLL
  for (int step = 0; step < kSteps; ++step) GPTMOE_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int64_t row = row0 + m * 16 + half * 8 + in.g;
    float values[4];
    load_part<1>(values, dlogits + row * E, step * 16 + in.t * 4, row < rows ? experts : 0);
    for (int q = 0; q < 2; ++q) {
      uint32_t parts[kParts];
      split_pair(values[q * 2], values[q * 2 + 1], parts);
      for (int p = 0; p < kParts; ++p) a[m][step][p][half + q * 2] = parts[p];
    }
  }

  for (int64_t c = warp % kSplits * 32; c < C; c += kSplits * 32) {
    float d[2][4][4] = {};
    GPTMOE_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      float values[4][4];  // expert, tile
      for (int i = 0; i < 4; ++i) {
        const int64_t e = step * 16 + in.t * 4 + i;
        load_part<kFloats<N>>(values[i], w + e * C, c + in.g * 4, e < experts ? C : 0);
      }
      for (int j = 0; j < 4; ++j) {
        uint32_t b[kParts][2];
        for (int q = 0; q < 2; ++q) {
          uint32_t parts[kParts];
          split_pair(values[q * 2][j], values[q * 2 + 1][j], parts);
          for (int p = 0; p < kParts; ++p) b[p][q] = parts[p];
        }
        for (int m = 0; m < 2; ++m) multiply<kParts>(d[m][j], a[m][step], b);
      }
    }
    GPTMOE_UNROLL
    for (int m = 0; m < 2; ++m) GPTMOE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int64_t row = row0 + m * 16 + half * 8 + in.g;
      GPTMOE_UNROLL
      for (int i = 0; i < 8; i += N) {
        const int64_t at = c + in.t * 8 + i;
        if (row >= rows || at >= C) continue;
        T* to = dx + row * C + at;
        Pack<T, N> out;
        if constexpr (kWrite == Write::add) out = Pack<T, N>::load(to);
        for (int s = 0; s < N; ++s) {
          const float value = d[m][(i + s) % 4][half * 2 + (i + s) / 4];
          out.set(s, kWrite == Write::add ? out[s] + value : value);
        }
        out.store(to);
      }
    }
  }
}

constexpr int kColumnWarps = 2, kRowWarps = kWarps / kColumnWarps;
constexpr int kWeightValues = 8 * 4;  // per lane

// Partial sums of dw = dlogits^T x: 16 experts and 64 columns per warp; the kRowWarps warps of the same columns take
// different rows, and their sums are added at the end. Tile j has columns j, 8 + j, ... of the 64. Blocks with the same
// rows and other experts run side by side, so that x is read from memory once.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads, N > 1 ? 2 : 1)
    backward_weight_kernel(float* partials, const float* dlogits, const T* x, Sizes sizes) {
  constexpr int kParts = kGradientParts<T>, kXParts = kExactParts<T>;
  const auto [rows, C, E] = sizes;
  const Lane in;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, column_warp = warp % kColumnWarps;
  const int row_warp = warp / kColumnWarps;
  const int64_t expert0 = static_cast<int64_t>(blockIdx.x) * 16;
  const int64_t column0 = (static_cast<int64_t>(blockIdx.y) * kColumnWarps + column_warp) * 64;

  float d[8][4] = {};
  T x_ahead[4][8];  // rows 2 t, 2 t + 1, 2 t + 8, 2 t + 9
  float dlogits_ahead[2][4];
  const auto load = [&, rows = rows, C = C, E = E](int64_t row0) {
    for (int i = 0; i < 4; ++i) {
      const int64_t row = row0 + in.t * 2 + i % 2 + i / 2 * 8;
      load_part<N>(x_ahead[i], x + row * C, column0 + in.g * 8, row < rows ? C : 0);
      for (int half = 0; half < 2; ++half) {
        const int64_t e = expert0 + half * 8 + in.g;
        dlogits_ahead[half][i] = row < rows && e < E ? dlogits[row * E + e] : 0.0f;
      }
    }
  };
  const int64_t step = static_cast<int64_t>(gridDim.z) * kRowWarps * 16;
  int64_t row0 = (static_cast<int64_t>(blockIdx.z) * kRowWarps + row_warp) * 16;
  load(row0);
  for (; row0 < rows; row0 += step) {
    uint32_t a[kParts][4], b[8][kXParts][2];
    for (int q = 0; q < 2; ++q) {
      for (int half = 0; half < 2; ++half) {
        uint32_t parts[kParts];
        split_pair(dlogits_ahead[half][q * 2], dlogits_ahead[half][q * 2 + 1], parts);
        for (int p = 0; p < kParts; ++p) a[p][half + q * 2] = parts[p];
      }
      for (int j = 0; j < 8; ++j) {
        uint32_t parts[kXParts];
        split_pair(x_ahead[q * 2][j], x_ahead[q * 2 + 1][j], parts);
        for (int p = 0; p < kXParts; ++p) b[j][p][q] = parts[p];
      }
    }
    load(row0 + step);
    for (int j = 0; j < 8; ++j) multiply<kParts>(d[j], a, b[j]);
  }

  // The sums of all row warps but the first, as [row warp - 1][column warp][value][lane].
  float* const shared = shared_memory<float>() + column_warp * kWeightValues * kWarp + in.lane;
  constexpr int kRowWarpValues = kColumnWarps * kWeightValues * kWarp;
  if (row_warp > 0) GPTMOE_UNROLL
  for (int v = 0; v < kWeightValues; ++v) shared[(row_warp - 1) * kRowWarpValues + v * kWarp] = d[v / 4][v % 4];
  __syncthreads();
  if (row_warp > 0) return;
  GPTMOE_UNROLL
  for (int v = 0; v < kWeightValues; ++v) {
    float sum = d[v / 4][v % 4];
    for (int other = 0; other < kRowWarps - 1; ++other) sum += shared[other * kRowWarpValues + v * kWarp];
    const int64_t e = expert0 + v % 4 / 2 * 8 + in.g, c = column0 + in.t * 16 + v % 2 * 8 + v / 4;
    if (e < E && c < C) partials[(blockIdx.z * E + e) * C + c] = sum;
  }
}

// Calls visit with std::integral_constant<int, n>: the smallest power of two that is at least `count`, but at most
// `kMost`.
template <int kMost, typename Visit>
void with_tiles(int64_t count, Visit visit) {
  if constexpr (kMost > 1)
    if (count <= kMost / 2) return with_tiles<kMost / 2>(count, visit);
  visit(std::integral_constant<int, kMost>{});
}

// The most experts handled at a time. The registers limit it.
constexpr int64_t kMaxExperts = 64;
template <typename T>
constexpr int64_t kMaxExpertsBackward = std::is_same_v<T, bf16> ? 64 : 32;

template <typename T, int N, Write kWrite>
void backward_input(cudaStream_t stream, T* dx, const float* dlogits, const float* w, const Sizes& sizes,
                    int64_t experts) {
  with_tiles<kMaxExpertsBackward<T> / 16>(ceil_div(experts, 16), [&]<int kSteps>(std::integral_constant<int, kSteps>) {
    GPTMOE_LAUNCH((backward_input_kernel<T, N, kSteps, kWrite>), static_cast<unsigned>(ceil_div(sizes.N, kGroups * 32)),
                  kThreads, 0, stream, dx, dlogits, w, sizes, experts);
  });
}

}  // namespace

void CudaKernels::router_linear_forward(const Tensor& logits_NE, const Tensor& x_NC, const Tensor& w_EC) {
  const int64_t N = x_NC.size(0), C = x_NC.size(1), E = w_EC.size(0);
  float* logits = logits_NE.as<float>();
  const float* w = w_EC.as<float>();
  with_real(x_NC, [&]<typename T>(T*) {
    const T* x = x_NC.as<T>();
    with_pack<T>(
        C,
        [&]<int P>(std::integral_constant<int, P>) {
          with_tiles<kMaxExperts / 8>(ceil_div(E, 8), [&]<int kTiles>(std::integral_constant<int, kTiles>) {
            const dim3 grid(static_cast<unsigned>(ceil_div(N, kGroups * 32)),
                            static_cast<unsigned>(ceil_div(E, kTiles * 8)));
            GPTMOE_LAUNCH((forward_kernel<T, P, kTiles>), grid, kThreads, kThreads * kTiles * 8 * sizeof(float),
                          stream_, logits, x, w, Sizes{N, C, E});
          });
        },
        x, w);
  });
}

void CudaKernels::router_linear_backward(const Tensor& dx_NC, const Tensor& dw_EC, const Tensor& dlogits_NE,
                                         const Tensor& x_NC, const Tensor& w_EC, Write write) {
  const int64_t N = x_NC.size(0), C = x_NC.size(1), E = w_EC.size(0);
  float* dw = dw_EC.as<float>();
  const float *dlogits = dlogits_NE.as<float>(), *w = w_EC.as<float>();
  with_real(x_NC, [&]<typename T>(T*) {
    T* dx = dx_NC.as<T>();
    const T* x = x_NC.as<T>();
    with_pack<T>(
        C,
        [&]<int P>(std::integral_constant<int, P>) {
          const Sizes sizes{N, C, E};
          for (int64_t first = 0; first < E; first += kMaxExpertsBackward<T>) {
            const int64_t experts = std::min(kMaxExpertsBackward<T>, E - first);
            if (write == Write::assign && first == 0)
              backward_input<T, P, Write::assign>(stream_, dx, dlogits, w, sizes, experts);
            else
              backward_input<T, P, Write::add>(stream_, dx, dlogits + first, w + first * C, sizes, experts);
          }
          const int64_t experts = ceil_div(E, 16), columns = ceil_div(C, kColumnWarps * 64);
          // Two blocks fill a multiprocessor.
          const int64_t most = ceil_div(int64_t{2} * multiprocessors_, columns * experts);
          const Partials sums = partials(E * C, std::min(most, ceil_div(N, kRowWarps * 16)));
          const dim3 grid(static_cast<unsigned>(experts), static_cast<unsigned>(columns),
                          static_cast<unsigned>(sums.rows));
          GPTMOE_LAUNCH((backward_weight_kernel<T, P>), grid, kThreads,
                        (kRowWarps - 1) * kColumnWarps * kWarp * kWeightValues * sizeof(float), stream_, sums.data,
                        dlogits, x, sizes);
          add_column_sums(stream_, dw, sums.data, sums.rows, E * C);
        },
        dx, x, w);
  });
}

}  // namespace gptmoe::cuda
