// LayerNorm. It moves as many bytes as RMSNorm, and its backward works like RMSNorm's (rmsnorm.cu).
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/sums.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kForwardWarps = 8, kMaxBackwardThreads = 512;
constexpr int64_t kRowsAtOnce = 4;  // maximum number of rows that a block of the backward takes at a time

// One warp per row. The variance is computed around the known mean: the difference of two large sums would lose the
// variance of a row with a large mean.
template <typename T, int N>
__global__ void __launch_bounds__(kForwardWarps* kWarp)
    layernorm_forward_kernel(T* y, float* means, float* rstds, const T* x, const T* weight, const T* bias, int64_t rows,
                             int64_t C, float eps) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kForwardWarps + threadIdx.x / kWarp;
  if (n >= rows) return;
  const WarpRow<T, N, 4> row(x + n * C, C);
  float sum = 0, squares = 0;
  row.each([&](int64_t, const auto& pack) {
    for (int i = 0; i < N; ++i) sum += pack[i];
  });
  const float mean = warp_sum(sum) / static_cast<float>(C);
  row.each([&](int64_t, const auto& pack) {
    for (int i = 0; i < N; ++i) squares += (pack[i] - mean) * (pack[i] - mean);
  });
  const float rstd = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(C) + eps);
  if (threadIdx.x % kWarp == 0) {
    means[n] = mean;
    rstds[n] = rstd;
  }
  row.each([&](int64_t at, const auto& pack) {
    const auto w = Pack<T, N>::load(weight + at), b = Pack<T, N>::load(bias + at);
    Pack<T, N> out;
    for (int i = 0; i < N; ++i) out.set(i, (pack[i] - mean) * rstd * w[i] + b[i]);
    out.store(y + n * C + at);
  });
}

// With g = dy * weight and h = (x - mean) * rstd:
//   dx += rstd * (g - mean(g) - h * mean(g * h)),  dweight += dy * h,  dbias += dy.
// Threads own columns as in rmsnorm_backward_kernel; a block's partials are C sums for dweight, C for dbias.
template <typename T, int N, bool kOnce>
__global__ void __launch_bounds__(kMaxBackwardThreads)
    layernorm_backward_kernel(T* dx, float* partials, const T* dy, const T* x, const T* weight, const float* means,
                              const float* rstds, int64_t rows, int64_t C) {
  constexpr int kRows = kOnce ? 4 : 1;
  const float per_column = 1.0f / static_cast<float>(C);
  float *const buffers = shared_memory<float>(), *const own = partials + blockIdx.x * 2 * C;
  const int64_t column = static_cast<int64_t>(threadIdx.x) * N, step = static_cast<int64_t>(blockDim.x) * N;
  const int64_t start = static_cast<int64_t>(blockIdx.x) * kRows, stride = static_cast<int64_t>(gridDim.x) * kRows;
  float weight_sums[N] = {}, bias_sums[N] = {};
  int turn = 0;
  for (int64_t first = start; first < rows; first += stride, turn ^= 1) {
    Pack<T, N> g[kRows] = {}, values[kRows] = {};
    float sums[2 * kRows] = {};  // of g, of g * h
    float mean[kRows], rstd[kRows];
    for (int r = 0; r < kRows; ++r) {
      mean[r] = first + r < rows ? means[first + r] : 0.0f;
      rstd[r] = first + r < rows ? rstds[first + r] : 0.0f;
    }
    for (int64_t at = column; at < C; at += step) {
      const auto w = Pack<T, N>::load(weight + at);
      for (int r = 0; r < kRows; ++r) {
        if (first + r >= rows) continue;
        g[r] = Pack<T, N>::load(dy + (first + r) * C + at);
        values[r] = Pack<T, N>::load(x + (first + r) * C + at);
      }
      for (int r = 0; r < kRows; ++r) {
        if (first + r >= rows) continue;
        for (int i = 0; i < N; ++i) {
          sums[2 * r] += g[r][i] * w[i];
          sums[2 * r + 1] += g[r][i] * w[i] * ((values[r][i] - mean[r]) * rstd[r]);
        }
      }
    }
    block_sums(sums, buffers + turn * 2 * kRows * kMaxWarps);
    for (float& sum : sums) sum *= per_column;
    for (int64_t at = column; at < C; at += step) {
      const auto w = Pack<T, N>::load(weight + at);
      for (int r = 0; r < kRows; ++r) {
        if (first + r >= rows) continue;
        T* to = dx + (first + r) * C + at;
        if constexpr (!kOnce) {
          g[r] = Pack<T, N>::load(dy + (first + r) * C + at);
          values[r] = Pack<T, N>::load(x + (first + r) * C + at);
        }
        auto out = Pack<T, N>::load(to);
        for (int i = 0; i < N; ++i) {
          const float h = (values[r][i] - mean[r]) * rstd[r], dy_i = g[r][i];
          out.set(i, out[i] + rstd[r] * (dy_i * w[i] - sums[2 * r] - h * sums[2 * r + 1]));
          if constexpr (kOnce) {
            weight_sums[i] += dy_i * h;
            bias_sums[i] += dy_i;
          } else {
            own[at + i] = (first == start ? 0.0f : own[at + i]) + dy_i * h;
            own[C + at + i] = (first == start ? 0.0f : own[C + at + i]) + dy_i;
          }
        }
        out.store(to);
      }
    }
  }
  if constexpr (kOnce) {
    for (int i = 0; i < N && column < C; ++i) {
      own[column + i] = weight_sums[i];
      own[C + column + i] = bias_sums[i];
    }
  }
}

}  // namespace

void CudaKernels::layernorm_forward(const Tensor& y_NC, const Tensor& mean_N, const Tensor& rstd_N, const Tensor& x_NC,
                                    const Tensor& weight_C, const Tensor& bias_C, double eps) {
  const int64_t N = x_NC.size(0), C = x_NC.size(1);
  with_real(x_NC, [&]<typename T>(T*) {
    T* y = y_NC.as<T>();
    float *mean = mean_N.as<float>(), *rstd = rstd_N.as<float>();
    const T *x = x_NC.as<T>(), *weight = weight_C.as<T>(), *bias = bias_C.as<T>();
    with_pack<T>(
        C,
        [&]<int P>(std::integral_constant<int, P>) {
          GPTMOE_LAUNCH((layernorm_forward_kernel<T, P>), static_cast<unsigned>(ceil_div(N, kForwardWarps)),
                        kForwardWarps * kWarp, 0, stream_, y, mean, rstd, x, weight, bias, N, C,
                        static_cast<float>(eps));
        },
        y, x, weight, bias);
  });
}

void CudaKernels::layernorm_backward(const Tensor& dx_NC, const Tensor& dweight_C, const Tensor& dbias_C,
                                     const Tensor& dy_NC, const Tensor& x_NC, const Tensor& weight_C,
                                     const Tensor& mean_N, const Tensor& rstd_N) {
  const int64_t N = x_NC.size(0), C = x_NC.size(1);
  with_real(x_NC, [&]<typename T>(T*) {
    T* dx = dx_NC.as<T>();
    float *dweight = dweight_C.as<float>(), *dbias = dbias_C.as<float>();
    const T *dy = dy_NC.as<T>(), *x = x_NC.as<T>(), *weight = weight_C.as<T>();
    const float *mean = mean_N.as<float>(), *rstd = rstd_N.as<float>();
    const Partials sums = partials(2 * C, ceil_div(N, kRowsAtOnce));
    with_pack<T>(
        C,
        [&]<int P>(std::integral_constant<int, P>) {
          const int64_t packs = C / P;
          const auto run = [&]<bool kOnce>(std::bool_constant<kOnce>) {
            const auto threads = static_cast<unsigned>(kOnce ? ceil_div(packs, kWarp) * kWarp : kMaxBackwardThreads);
            GPTMOE_LAUNCH((layernorm_backward_kernel<T, P, kOnce>), static_cast<unsigned>(sums.rows), threads,
                          4 * kRowsAtOnce * kMaxWarps * sizeof(float), stream_, dx, sums.data, dy, x, weight, mean,
                          rstd, N, C);
          };
          if (packs <= kMaxBackwardThreads)
            run(std::true_type{});
          else
            run(std::false_type{});
        },
        dx, dy, x, weight);
    add_column_sums(stream_, dweight, sums.data, sums.rows, 2 * C, dbias);
  });
}

}  // namespace gptmoe::cuda
