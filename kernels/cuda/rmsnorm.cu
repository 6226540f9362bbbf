// RMSNorm, and QK-norm as RMSNorm over two parts of every row, or over every head. Both directions move each row once.
// The forward moves 2 N C elements. The backward reads 3 N C (dx, dy, x) and writes N C and dweight's partial sums.
#include <numeric>

#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/sums.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kForwardWarps = 8, kMaxBackwardThreads = 512;

// `heads` times `count` rows of `width` elements. The rows of a head are `stride` apart in the matrices and
// `rstd_stride` in the statistics; heads follow one another. Each head has a row of blocks in the grid.
struct Rows {
  int64_t count, width, stride, rstd_stride, heads = 1;
};

// One warp per row. The three blocks per multiprocessor leave enough registers that none spills.
template <typename T, int N>
__global__ void __launch_bounds__(kForwardWarps* kWarp, 3)
    rmsnorm_forward_kernel(T* y, float* rstds, const T* x, const T* weight, Rows rows, float eps) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kForwardWarps + threadIdx.x / kWarp;
  if (n >= rows.count) return;
  const int64_t start = n * rows.stride + blockIdx.y * rows.width;
  x += start, y += start, rstds += n * rows.rstd_stride + blockIdx.y;
  const WarpRow<T, N, 4> row(x, rows.width);
  float squares = 0;
  row.each([&](int64_t, const auto& pack) {
    for (int i = 0; i < N; ++i) squares += pack[i] * pack[i];
  });
  const float rstd = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(rows.width) + eps);
  if (threadIdx.x % kWarp == 0) *rstds = rstd;
  row.each([&](int64_t at, const auto& pack) {
    const auto w = Pack<T, N>::load(weight + at);
    Pack<T, N> out;
    for (int i = 0; i < N; ++i) out.set(i, pack[i] * rstd * w[i]);
    out.store_whole(y + at);
  });
}

// With g = dy * weight and h = x * rstd, dx is set to, or increased by, rstd * (g - h * mean(g * h)); dweight += dy *
// h. A block takes kRows rows at a time. A thread has the same columns in all rows, so it keeps these columns' sums for
// dweight: in registers if one pack per thread covers the row (kOnce), else in the block's row of partials.
template <typename T, int N, bool kOnce, Write kWrite>
__global__ void __launch_bounds__(kMaxBackwardThreads)
    rmsnorm_backward_kernel(T* dx, float* partials, const T* dy, const T* x, const T* weight, const float* rstds,
                            Rows rows) {
  constexpr int kRows = kOnce ? 4 : 1;
  float* const buffers = shared_memory<float>();
  float* const own = partials + (int64_t{blockIdx.y} * gridDim.x + blockIdx.x) * rows.width;
  dx += blockIdx.y * rows.width, dy += blockIdx.y * rows.width, x += blockIdx.y * rows.width, rstds += blockIdx.y;
  const int64_t column = static_cast<int64_t>(threadIdx.x) * N, step = static_cast<int64_t>(blockDim.x) * N;
  const int64_t start = static_cast<int64_t>(blockIdx.x) * kRows, stride = static_cast<int64_t>(gridDim.x) * kRows;
  float sums[N] = {};
  int turn = 0;
  for (int64_t first = start; first < rows.count; first += stride, turn ^= 1) {
    Pack<T, N> g[kRows] = {}, h[kRows] = {};
    float means[kRows] = {}, rstd[kRows];
    for (int r = 0; r < kRows; ++r) rstd[r] = first + r < rows.count ? rstds[(first + r) * rows.rstd_stride] : 0.0f;
    for (int64_t at = column; at < rows.width; at += step) {
      const auto w = Pack<T, N>::load(weight + at);
      for (int r = 0; r < kRows; ++r) {
        if (first + r >= rows.count) continue;
        g[r] = Pack<T, N>::load(dy + (first + r) * rows.stride + at);
        h[r] = Pack<T, N>::load(x + (first + r) * rows.stride + at);
      }
      for (int r = 0; r < kRows; ++r) {
        if (first + r >= rows.count) continue;
        for (int i = 0; i < N; ++i) means[r] += g[r][i] * w[i] * h[r][i];
      }
    }
    block_sums(means, buffers + turn * kRows * kMaxWarps);
    for (int r = 0; r < kRows; ++r) means[r] *= rstd[r] / static_cast<float>(rows.width);
    for (int64_t at = column; at < rows.width; at += step) {
      const auto w = Pack<T, N>::load(weight + at);
      for (int r = 0; r < kRows; ++r) {
        if (first + r >= rows.count) continue;
        T* to = dx + (first + r) * rows.stride + at;
        if constexpr (!kOnce) {
          g[r] = Pack<T, N>::load(dy + (first + r) * rows.stride + at);
          h[r] = Pack<T, N>::load(x + (first + r) * rows.stride + at);
        }
        Pack<T, N> out;
        if constexpr (kWrite == Write::add) out = Pack<T, N>::load(to);
        for (int i = 0; i < N; ++i) {
          const float scaled = h[r][i] * rstd[r], gradient = rstd[r] * (g[r][i] * w[i] - scaled * means[r]);
          out.set(i, kWrite == Write::add ? out[i] + gradient : gradient);
          if constexpr (kOnce)
            sums[i] += g[r][i] * scaled;
          else
            own[at + i] = (first == start ? 0.0f : own[at + i]) + g[r][i] * scaled;
        }
        out.store_whole(to);
      }
    }
  }
  if constexpr (kOnce)
    for (int i = 0; i < N && column < rows.width; ++i) own[column + i] = sums[i];
}

template <typename T, int N>
__global__ void copy_rows_kernel(T* to, const T* from, Rows rows) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (at >= rows.count * rows.width) return;
  const int64_t where = at / rows.width * rows.stride + at % rows.width;
  Pack<T, N>::load(from + where).store(to + where);
}

template <typename T, int N>
void forward(cudaStream_t stream, T* y, float* rstd, const T* x, const T* weight, const Rows& rows, double eps) {
  const dim3 grid(static_cast<unsigned>(ceil_div(rows.count, kForwardWarps)), static_cast<unsigned>(rows.heads));
  GPTMOE_LAUNCH((rmsnorm_forward_kernel<T, N>), grid, kForwardWarps * kWarp, 0, stream, y, rstd, x, weight, rows,
                static_cast<float>(eps));
}

constexpr int64_t kRowsAtOnce = 4;  // maximum number of rows that a block of the backward takes at a time

// `blocks` rows of partial sums, for each head.
template <typename T, int N, Write kWrite>
void backward(cudaStream_t stream, T* dx, float* dweight, float* partials, int64_t blocks, const T* dy, const T* x,
              const T* weight, const float* rstd, const Rows& rows) {
  const int64_t packs = rows.width / N;
  const auto run = [&]<bool kOnce>(std::bool_constant<kOnce>) {
    const auto threads = static_cast<unsigned>(kOnce ? ceil_div(packs, kWarp) * kWarp : kMaxBackwardThreads);
    const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(rows.heads));
    GPTMOE_LAUNCH((rmsnorm_backward_kernel<T, N, kOnce, kWrite>), grid, threads,
                  2 * kRowsAtOnce * kMaxWarps * sizeof(float), stream, dx, partials, dy, x, weight, rstd, rows);
  };
  if (packs <= kMaxBackwardThreads)
    run(std::true_type{});
  else
    run(std::false_type{});
  add_column_sums(stream, dweight, partials, blocks * rows.heads, rows.width);
}

template <typename T, int N>
void copy_rows(cudaStream_t stream, T* to, const T* from, const Rows& rows) {
  constexpr int kThreads = 256;
  GPTMOE_LAUNCH((copy_rows_kernel<T, N>), static_cast<unsigned>(ceil_div(rows.count * rows.width / N, kThreads)),
                kThreads, 0, stream, to, from, rows);
}

}  // namespace

void CudaKernels::rmsnorm_forward(const Tensor& y_NC, const Tensor& rstd_N, const Tensor& x_NC, const Tensor& weight_C,
                                  double eps) {
  const int64_t N = x_NC.size(0), C = x_NC.size(1);
  with_real(x_NC, [&]<typename T>(T*) {
    T* y = y_NC.as<T>();
    float* rstd = rstd_N.as<float>();
    const T *x = x_NC.as<T>(), *weight = weight_C.as<T>();
    with_pack<T>(
        C,
        [&]<int P>(std::integral_constant<int, P>) {
          forward<T, P>(stream_, y, rstd, x, weight, {N, C, C, 1}, eps);
        },
        y, x, weight);
  });
}

void CudaKernels::rmsnorm_backward(const Tensor& dx_NC, const Tensor& dweight_C, const Tensor& dy_NC,
                                   const Tensor& x_NC, const Tensor& weight_C, const Tensor& rstd_N) {
  const int64_t N = x_NC.size(0), C = x_NC.size(1);
  with_real(x_NC, [&]<typename T>(T*) {
    T* dx = dx_NC.as<T>();
    float* dweight = dweight_C.as<float>();
    const T *dy = dy_NC.as<T>(), *x = x_NC.as<T>(), *weight = weight_C.as<T>();
    const float* rstd = rstd_N.as<float>();
    const auto [data, blocks] = partials(C, ceil_div(N, kRowsAtOnce));
    with_pack<T>(
        C,
        [&, data = data, blocks = blocks]<int P>(std::integral_constant<int, P>) {
          backward<T, P, Write::add>(stream_, dx, dweight, data, blocks, dy, x, weight, rstd, {N, C, C, 1});
        },
        dx, dy, x, weight);
  });
}

void CudaKernels::qk_norm_forward(const Tensor& y_BTSD, const Tensor& rstd_N2, const Tensor& qkv_BTSD,
                                  const Tensor& q_weight_HD, const Tensor& k_weight_GD, double eps) {
  const int64_t N = qkv_BTSD.size(0) * qkv_BTSD.size(1), width = qkv_BTSD.size(2) * qkv_BTSD.size(3);
  const int64_t q = q_weight_HD.count(), k = k_weight_GD.count();
  with_real(qkv_BTSD, [&]<typename T>(T*) {
    T* y = y_BTSD.as<T>();
    float* rstd = rstd_N2.as<float>();
    const T *qkv = qkv_BTSD.as<T>(), *q_weight = q_weight_HD.as<T>(), *k_weight = k_weight_GD.as<T>();
    with_pack<T>(
        std::gcd(q, k),
        [&]<int P>(std::integral_constant<int, P>) {
          forward<T, P>(stream_, y, rstd, qkv, q_weight, {N, q, width, 2}, eps);
          forward<T, P>(stream_, y + q, rstd + 1, qkv + q, k_weight, {N, k, width, 2}, eps);
          copy_rows<T, P>(stream_, y + q + k, qkv + q + k, {N, k, width, 0});
        },
        y, qkv, q_weight, k_weight);
  });
}

void CudaKernels::qk_norm_backward(const Tensor& dqkv_BTSD, const Tensor& dq_weight_HD, const Tensor& dk_weight_GD,
                                   const Tensor& dy_BTSD, const Tensor& qkv_BTSD, const Tensor& q_weight_HD,
                                   const Tensor& k_weight_GD, const Tensor& rstd_N2) {
  const int64_t N = qkv_BTSD.size(0) * qkv_BTSD.size(1), width = qkv_BTSD.size(2) * qkv_BTSD.size(3);
  const int64_t q = q_weight_HD.count(), k = k_weight_GD.count();
  with_real(qkv_BTSD, [&]<typename T>(T*) {
    T* dqkv = dqkv_BTSD.as<T>();
    float *dq_weight = dq_weight_HD.as<float>(), *dk_weight = dk_weight_GD.as<float>();
    const T *dy = dy_BTSD.as<T>(), *qkv = qkv_BTSD.as<T>();
    const T *q_weight = q_weight_HD.as<T>(), *k_weight = k_weight_GD.as<T>();
    const float* rstd = rstd_N2.as<float>();
    const auto [data, blocks] = partials(std::max(q, k), ceil_div(N, kRowsAtOnce));
    with_pack<T>(
        std::gcd(q, k),
        [&, data = data, blocks = blocks]<int P>(std::integral_constant<int, P>) {
          backward<T, P, Write::assign>(stream_, dqkv, dq_weight, data, blocks, dy, qkv, q_weight, rstd,
                                        {N, q, width, 2});
          backward<T, P, Write::assign>(stream_, dqkv + q, dk_weight, data, blocks, dy + q, qkv + q, k_weight, rstd + 1,
                                        {N, k, width, 2});
          if (dqkv != dy) copy_rows<T, P>(stream_, dqkv + q + k, dy + q + k, {N, k, width, 0});
        },
        dqkv, dy, qkv, q_weight, k_weight);
  });
}

void CudaKernels::head_norm_forward(const Tensor& y_BTSD, const Tensor& rstd_NW, const Tensor& qkv_BTSD,
                                    const Tensor& q_weight_D, const Tensor& k_weight_D, double eps) {
  const int64_t N = rstd_NW.size(0), W = rstd_NW.size(1), S = qkv_BTSD.size(2), D = qkv_BTSD.size(3);
  const int64_t G = S - W, H = W - G;
  with_real(qkv_BTSD, [&]<typename T>(T*) {
    T* y = y_BTSD.as<T>();
    float* rstd = rstd_NW.as<float>();
    const T *qkv = qkv_BTSD.as<T>(), *q_weight = q_weight_D.as<T>(), *k_weight = k_weight_D.as<T>();
    with_pack<T>(
        D,
        [&]<int P>(std::integral_constant<int, P>) {
          forward<T, P>(stream_, y, rstd, qkv, q_weight, {N, D, S * D, W, H}, eps);
          forward<T, P>(stream_, y + H * D, rstd + H, qkv + H * D, k_weight, {N, D, S * D, W, G}, eps);
          copy_rows<T, P>(stream_, y + W * D, qkv + W * D, {N, G * D, S * D, 0});
        },
        y, qkv, q_weight, k_weight);
  });
}

void CudaKernels::head_norm_backward(const Tensor& dqkv_BTSD, const Tensor& dq_weight_D, const Tensor& dk_weight_D,
                                     const Tensor& dy_BTSD, const Tensor& qkv_BTSD, const Tensor& q_weight_D,
                                     const Tensor& k_weight_D, const Tensor& rstd_NW) {
  const int64_t N = rstd_NW.size(0), W = rstd_NW.size(1), S = qkv_BTSD.size(2), D = qkv_BTSD.size(3);
  const int64_t G = S - W, H = W - G;
  with_real(qkv_BTSD, [&]<typename T>(T*) {
    T* dqkv = dqkv_BTSD.as<T>();
    float *dq_weight = dq_weight_D.as<float>(), *dk_weight = dk_weight_D.as<float>();
    const T *dy = dy_BTSD.as<T>(), *qkv = qkv_BTSD.as<T>();
    const T *q_weight = q_weight_D.as<T>(), *k_weight = k_weight_D.as<T>();
    const float* rstd = rstd_NW.as<float>();
    const auto [data, blocks] = partials(D * std::max(H, G), ceil_div(N, kRowsAtOnce));
    with_pack<T>(
        D,
        [&, data = data, blocks = blocks]<int P>(std::integral_constant<int, P>) {
          backward<T, P, Write::assign>(stream_, dqkv, dq_weight, data, blocks, dy, qkv, q_weight, rstd,
                                        {N, D, S * D, W, H});
          const int64_t keys = H * D, values = W * D;
          backward<T, P, Write::assign>(stream_, dqkv + keys, dk_weight, data, blocks, dy + keys, qkv + keys, k_weight,
                                        rstd + H, {N, D, S * D, W, G});
          if (dqkv != dy) copy_rows<T, P>(stream_, dqkv + values, dy + values, {N, G * D, S * D, 0});
        },
        dqkv, dy, qkv, q_weight, k_weight);
  });
}

}  // namespace gptmoe::cuda
