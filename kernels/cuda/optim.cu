#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstddef>
#include <vector>

#include "kernels/block_code.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/sums.cuh"
#include "kernels/cuda/warps.cuh"
#include "kernels/draws.h"

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T>
struct ValueTerms {
  const T* x;
  template <int N>
  __device__ float term(int64_t at) const {
    const auto pack = Pack<T, N>::load(x + at);
    float sum = 0;
    for (int i = 0; i < N; ++i) sum += pack[i];
    return sum;
  }
};

// Sums in packs of 16 bytes if x is aligned to 16 bytes.
template <typename T, typename Values>
void sum_values(cudaStream_t stream, float* partials, int64_t blocks, const Values& values, const T* x, int64_t count) {
  with_pack<T>(
      0, [&]<int N>(std::integral_constant<int, N>) { partial_sums<N>(stream, partials, blocks, values, count); }, x);
}

__device__ bool is_finite(float x) { return fabsf(x) <= FLT_MAX; }
__device__ bool is_nan(float x) { return x != x; }

__global__ void clip_scale_kernel(float* scale, const float* squared_norm, const float* loss, float max_norm) {
  const float norm = sqrtf(*squared_norm);
  if (is_nan(*scale) || !is_finite(*squared_norm) || !is_finite(*loss))
    *scale = NAN;
  else
    *scale = max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0f;
}

struct AdamwNumbers {
  float keep_m, take_m, keep_v, take_v, eps, weight_decay, rate_scale;
};

// One pass reads grad, m, v and master, and writes m, v, master and param: 30 bytes per parameter if param is bf16.
// Without a master, `master` is param itself and `param` is null.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    adamw_kernel(T* param, float* master, float* m, float* v, const float* grad, const float* scale_1,
                 const float* rates_3, AdamwNumbers numbers, int64_t packs) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
  const float scale = *scale_1, decay = rates_3[0] * numbers.weight_decay, rate = numbers.rate_scale * rates_3[1],
              inverse_v_correction = rates_3[2];
  if (at >= packs * N || is_nan(scale)) return;
  using Floats = Pack<float, N>;
  const auto gradient = Floats::load(grad + at);
  auto mean = Floats::load(m + at), square = Floats::load(v + at), value = Floats::load(master + at);
  for (int i = 0; i < N; ++i) {
    const float g = scale * gradient[i];
    mean.set(i, numbers.keep_m * mean[i] + numbers.take_m * g);
    square.set(i, numbers.keep_v * square[i] + numbers.take_v * (g * g));
    const float step = rate * mean[i] / (sqrtf(square[i] * inverse_v_correction) + numbers.eps);
    value.set(i, value[i] - (step + decay * value[i]));
  }
  mean.store(m + at);
  square.store(v + at);
  value.store(master + at);
  if (!param) return;
  Pack<T, N> rounded;
  for (int i = 0; i < N; ++i) rounded.set(i, value[i]);
  rounded.store(param + at);
}

AdamwNumbers numbers_of(const AdamwConstants& constants) {
  return {.keep_m = static_cast<float>(constants.beta1),
          .take_m = static_cast<float>(1 - constants.beta1),
          .keep_v = static_cast<float>(constants.beta2),
          .take_v = static_cast<float>(1 - constants.beta2),
          .eps = static_cast<float>(constants.eps),
          .weight_decay = static_cast<float>(constants.learning_rate_scale * constants.weight_decay),
          .rate_scale = static_cast<float>(constants.learning_rate_scale)};
}

// average = keep * average + (1 - keep) * x, in packs of N.
template <int N>
__global__ void __launch_bounds__(kThreads)
    moving_average_kernel(float* average, const float* x, const float* keep_1, int64_t packs) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
  if (at >= packs * N) return;
  const float keep = *keep_1, take = 1 - keep;
  auto mean = Pack<float, N>::load(average + at);
  const auto value = Pack<float, N>::load(x + at);
  for (int i = 0; i < N; ++i) mean.set(i, keep * mean[i] + take * value[i]);
  mean.store(average + at);
}

// out = x, in packs of N.
template <typename To, typename From, int N>
__global__ void __launch_bounds__(kThreads) cast_kernel(To* out, const From* x, int64_t packs) {
  const int64_t pack = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (pack >= packs) return;
  const auto values = Pack<From, N>::load(x + pack * N);
  Pack<To, N> converted;
  for (int i = 0; i < N; ++i) converted.set(i, values[i]);
  converted.store(out + pack * N);
}

// Converts packs of kPack elements if both tensors are aligned to such packs, and the remaining elements singly.
template <typename To, typename From>
void cast_values(cudaStream_t stream, To* out, const From* x, int64_t count) {
  constexpr int kPack = 4;
  const bool aligned = reinterpret_cast<uintptr_t>(out) % (kPack * sizeof(To)) == 0 &&
                       reinterpret_cast<uintptr_t>(x) % (kPack * sizeof(From)) == 0;
  const int64_t packs = aligned ? count / kPack : 0, done = packs * kPack, rest = count - done;
  GPTMOE_LAUNCH((cast_kernel<To, From, kPack>), static_cast<unsigned>(ceil_div(packs, kThreads)), kThreads, 0, stream,
                out, x, packs);
  GPTMOE_LAUNCH((cast_kernel<To, From, 1>), static_cast<unsigned>(ceil_div(rest, kThreads)), kThreads, 0, stream,
                out + done, x + done, rest);
}

// Rounds packs of N elements to bf16 at random. Element i uses the draw with the number first + i.
template <int N>
__global__ void __launch_bounds__(kThreads) round_randomly_kernel(bf16* out, const float* x, const float* step_1,
                                                                  uint64_t first, uint32_t stream, int64_t packs) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
  if (at >= packs * N) return;
  const uint32_t key = rounding_key(static_cast<uint32_t>(*step_1), stream);
  const auto values = Pack<float, N>::load(x + at);
  Pack<bf16, N> rounded;
  for (int i = 0; i < N; ++i) {
    const uint32_t bits = randomly_rounded(__float_as_uint(values[i]), first + static_cast<uint64_t>(at + i), key);
    rounded.set(i, __uint_as_float(bits << 16));  // a bf16 number, so nothing is rounded again
  }
  rounded.store(out + at);
}

// Each warp encodes one block of x. Each lane has every 32nd element, so that a warp's accesses are adjacent at any
// alignment.
template <bool kHasSign>
__global__ void __launch_bounds__(kThreads)
    encode_kernel(uint8_t* codes, float* scales, const float* x, const float* step_1, uint64_t first, uint32_t stream,
                  int64_t count) {
  const int64_t block = grid_warp_index(), begin = block * kBlockElements;
  if (begin >= count) return;  // the whole warp
  constexpr int kPerLane = kBlockElements / kWarp, kBits = kHasSign ? 7 : 8;
  const int lane = lane_index();
  const auto place = [=](int i) { return begin + i * kWarp + lane; };
  float value[kPerLane];
  uint32_t largest = 0;  // as bits, NaN is larger than infinity, and infinity larger than any number
  GPTMOE_UNROLL
  for (int i = 0; i < kPerLane; ++i) {
    value[i] = place(i) < count ? x[place(i)] : 0.0f;
    const uint32_t magnitude = __float_as_uint(value[i]) & 0x7FFFFFFFu;
    largest = magnitude > largest ? magnitude : largest;
  }
  for (int bits = kWarp / 2; bits > 0; bits /= 2) {
    const uint32_t other = __shfl_xor_sync(kAllLanes, largest, bits);
    largest = other > largest ? other : largest;
  }
  const float scale = __uint_as_float(largest);
  const bool finite = largest < 0x7F800000u, stored = finite && scale >= kLeastScale;
  if (lane == 0) scales[block] = stored || !finite ? scale : 0.0f;
  const uint32_t key = rounding_key(static_cast<uint32_t>(*step_1), stream);
  const float inverse = stored ? 1.0f / scale : 0.0f;
  GPTMOE_UNROLL
  for (int i = 0; i < kPerLane; ++i) {
    if (place(i) >= count) continue;
    const float draw = rounding_draw(first + static_cast<uint64_t>(place(i)), key);
    codes[place(i)] = stored ? element_code<kHasSign>(value[i], scale, inverse, draw, fraction_of<kBits>) : uint8_t{0};
  }
}

// Each warp decodes one block, as encode_kernel encodes it.
template <bool kHasSign>
__global__ void __launch_bounds__(kThreads)
    decode_kernel(float* x, const uint8_t* codes, const float* scales, int64_t count) {
  const int64_t block = grid_warp_index(), begin = block * kBlockElements;
  if (begin >= count) return;
  const float scale = scales[block];
  GPTMOE_UNROLL
  for (int i = 0; i < kBlockElements / kWarp; ++i) {
    const int64_t at = begin + i * kWarp + lane_index();
    if (at < count) x[at] = element_fraction<kHasSign>(codes[at]) * scale;
  }
}

// Sets counts[block] to the number of infinite or NaN elements in the block's part of x.
template <typename T, int N>
__global__ void count_nonfinite_kernel(int32_t* counts, const T* x, int64_t count) {
  auto* total = shared_memory<int32_t>();
  if (threadIdx.x == 0) *total = 0;
  __syncthreads();
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads, packs = count / N;
  int32_t found = 0;
  for (int64_t at = thread; at < packs; at += step) {
    const auto pack = Pack<T, N>::load(x + at * N);
    for (int i = 0; i < N; ++i) found += !is_finite(pack[i]);
  }
  for (int64_t at = packs * N + thread; at < count; at += step) found += !is_finite(to_float(x[at]));
  if (found > 0) atomicAdd(total, found);
  __syncthreads();
  if (threadIdx.x == 0) counts[blockIdx.x] = *total;
}

}  // namespace

void CudaKernels::zero(const Tensor& x) {
  for (int64_t at = 0; at < x.bytes(); at += kMemsetBytes)
    CUDA_CHECK(cudaMemsetAsync(static_cast<std::byte*>(x.data()) + at, 0,
                               static_cast<size_t>(std::min(kMemsetBytes, x.bytes() - at)), stream_));
}

void CudaKernels::copy(const Tensor& out, const Tensor& x) {
  CUDA_CHECK(cudaMemcpyAsync(out.data(), x.data(), x.bytes(), cudaMemcpyDeviceToDevice, stream_));
}

void CudaKernels::cast(const Tensor& out, const Tensor& x) {
  const bool widens = x.dtype() == DType::bf16;
  if (widens)
    cast_values(stream_, out.as<float>(), x.as<bf16>(), x.count());
  else
    cast_values(stream_, out.as<bf16>(), x.as<float>(), x.count());
}

void CudaKernels::round_randomly(const Tensor& out, const Tensor& x, const Tensor& step_1, int64_t first,
                                 int64_t stream) {
  with_pack<float>(
      x.count(),
      [&]<int N>(std::integral_constant<int, N>) {
        const int64_t packs = x.count() / N;
        GPTMOE_LAUNCH(round_randomly_kernel<N>, static_cast<unsigned>(ceil_div(packs, kThreads)), kThreads, 0, stream_,
                      out.as<bf16>(), x.as<float>(), step_1.as<float>(), static_cast<uint64_t>(first),
                      static_cast<uint32_t>(stream), packs);
      },
      out.as<bf16>(), x.as<float>());
}

void CudaKernels::encode_blocks(const Tensor& codes, const Tensor& scales, const Tensor& x, const Tensor& step_1,
                                int64_t first, int64_t stream, bool has_sign) {
  const auto run = [&]<bool kHasSign>(std::bool_constant<kHasSign>) {
    GPTMOE_LAUNCH(encode_kernel<kHasSign>, blocks_for_warps(scales.count(), kThreads), kThreads, 0, stream_,
                  codes.as<uint8_t>(), scales.as<float>(), x.as<float>(), step_1.as<float>(),
                  static_cast<uint64_t>(first), static_cast<uint32_t>(stream), x.count());
  };
  has_sign ? run(std::true_type{}) : run(std::false_type{});
}

void CudaKernels::decode_blocks(const Tensor& x, const Tensor& codes, const Tensor& scales, bool has_sign) {
  const auto run = [&]<bool kHasSign>(std::bool_constant<kHasSign>) {
    GPTMOE_LAUNCH(decode_kernel<kHasSign>, blocks_for_warps(scales.count(), kThreads), kThreads, 0, stream_,
                  x.as<float>(), codes.as<uint8_t>(), scales.as<float>(), x.count());
  };
  has_sign ? run(std::true_type{}) : run(std::false_type{});
}

void CudaKernels::accumulate_sum(const Tensor& sum_1, const Tensor& x) {
  const float* values = x.as<float>();
  const Partials sums = partials(1, sum_blocks(x.count()));
  sum_values(stream_, sums.data, sums.rows, ValueTerms<float>{values}, values, x.count());
  finish_sum(stream_, sum_1.as<float>(), sums.data, sums.rows, 1.0f, Total::add);
}

void CudaKernels::squared_norm(const Tensor& sum_1, const Tensor& x) {
  const Partials sums = partials(1, sum_blocks(x.count()));
  with_real(x, [&]<typename T>(T*) {
    const T* values = x.as<T>();
    sum_values(stream_, sums.data, sums.rows, SquareTerms<T>{values}, values, x.count());
  });
  finish_sum(stream_, sum_1.as<float>(), sums.data, sums.rows, 1.0f, Total::assign);
}

void CudaKernels::clip_scale(const Tensor& scale_1, const Tensor& squared_norm_1, const Tensor& loss_1,
                             double max_norm) {
  GPTMOE_LAUNCH(clip_scale_kernel, 1, 1, 0, stream_, scale_1.as<float>(), squared_norm_1.as<float>(),
                loss_1.as<float>(), static_cast<float>(max_norm));
}

void CudaKernels::adamw(const Tensor& param, const Tensor& master, const Tensor& m, const Tensor& v, const Tensor& grad,
                        const Tensor& scale_1, const Tensor& rates_3, const AdamwConstants& constants) {
  const int64_t count = param.count();
  float *means = m.as<float>(), *squares = v.as<float>();
  const float *grads = grad.as<float>(), *scale = scale_1.as<float>(), *rates = rates_3.as<float>();
  const AdamwNumbers numbers = numbers_of(constants);
  with_real(param, [&]<typename T>(T*) {
    T* const params = master.present() ? param.as<T>() : nullptr;
    float* const masters = master.present() ? master.as<float>() : param.as<float>();
    // The range may start anywhere and have any length. If all five tensors are aligned, whole packs are updated
    // together; the rest is updated singly.
    bool aligned = reinterpret_cast<uintptr_t>(params) % (4 * sizeof(T)) == 0;
    for (const float* each : {static_cast<const float*>(masters), static_cast<const float*>(means),
                              static_cast<const float*>(squares), grads})
      aligned = aligned && reinterpret_cast<uintptr_t>(each) % 16 == 0;
    const int64_t packs = aligned ? count / 4 : 0, done = packs * 4, rest = count - done;
    GPTMOE_LAUNCH((adamw_kernel<T, 4>), static_cast<unsigned>(ceil_div(packs, kThreads)), kThreads, 0, stream_, params,
                  masters, means, squares, grads, scale, rates, numbers, packs);
    GPTMOE_LAUNCH((adamw_kernel<T, 1>), static_cast<unsigned>(ceil_div(rest, kThreads)), kThreads, 0, stream_,
                  params ? params + done : nullptr, masters + done, means + done, squares + done, grads + done, scale,
                  rates, numbers, rest);
  });
}

void CudaKernels::moving_average(const Tensor& average, const Tensor& x, const Tensor& keep_1) {
  float* const averages = average.as<float>();
  const float *values = x.as<float>(), *keep = keep_1.as<float>();
  const bool aligned = reinterpret_cast<uintptr_t>(averages) % 16 == 0 && reinterpret_cast<uintptr_t>(values) % 16 == 0;
  const int64_t count = average.count(), packs = aligned ? count / 4 : 0, done = packs * 4, rest = count - done;
  GPTMOE_LAUNCH((moving_average_kernel<4>), static_cast<unsigned>(ceil_div(packs, kThreads)), kThreads, 0, stream_,
                averages, values, keep, packs);
  GPTMOE_LAUNCH((moving_average_kernel<1>), static_cast<unsigned>(ceil_div(rest, kThreads)), kThreads, 0, stream_,
                averages + done, values + done, keep, rest);
}

int64_t CudaKernels::count_nonfinite(const Tensor& x) {
  const int64_t count = x.count();
  const Partials found = partials(1, sum_blocks(count));
  auto* counts = reinterpret_cast<int32_t*>(found.data);
  with_real(x, [&]<typename T>(T*) {
    const T* values = x.as<T>();
    with_pack<T>(
        0,
        [&]<int N>(std::integral_constant<int, N>) {
          GPTMOE_LAUNCH((count_nonfinite_kernel<T, N>), static_cast<unsigned>(found.rows), kThreads, sizeof(int32_t),
                        stream_, counts, values, count);
        },
        values);
  });
  std::vector<int32_t> host(static_cast<size_t>(found.rows));
  CUDA_CHECK(cudaMemcpyAsync(host.data(), counts, host.size() * sizeof(int32_t), cudaMemcpyDeviceToHost, stream_));
  CUDA_CHECK(cudaStreamSynchronize(stream_));
  int64_t total = 0;
  for (const int32_t each : host) total += each;
  return total;
}

}  // namespace gptmoe::cuda
