// Attention of texts that grow, for generation: few queries, each against a cache of keys and values.
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLanes = 8;  // lanes that share a key
constexpr int kGroups = kThreads / kLanes;

struct CacheShape {
  int T, H, G, D;
  int64_t X, first;
  float scale;  // 1 / sqrt(D)

  __device__ int64_t query_stride() const { return int64_t{H + 2 * G} * D; }
  __device__ int64_t key_stride() const { return int64_t{2 * G} * D; }
};

// Copies rows of `width` elements, one block each, from the ends of qkv's rows into the cache.
template <typename T, int N>
__global__ void cache_keys_values_kernel(CacheShape s, T* kv, const T* qkv) {
  const int64_t n = blockIdx.x, b = n / s.T, t = n % s.T, width = s.key_stride();
  const T* from = qkv + (n + 1) * s.query_stride() - width;
  T* to = kv + (b * s.X + s.first + t) * width;
  for (int64_t at = static_cast<int64_t>(threadIdx.x) * N; at < width; at += kThreads * N)
    Pack<T, N>::load(from + at).store_whole(to + at);
}

// The partial results of a block's groups, which are then joined.
template <int kD>
struct Joined {
  float max[kGroups], sum[kGroups], out[kGroups][kD];
};

// One block per query head of a new token. A group of kLanes lanes takes every kGroups-th key with an online softmax;
// each lane has the packs lane + kLanes * i of the query, the keys and the values. The groups are joined in order.
// Minimum traffic: the keys and values that the query sees, once per key/value head.
template <typename T, int N, int kD>
__global__ void __launch_bounds__(kThreads) cached_attention_kernel(CacheShape s, T* out, const T* qkv, const T* kv) {
  constexpr int kPacks = kD / kLanes / N;
  auto& shared = *shared_memory<Joined<kD>>();
  const int64_t n = blockIdx.x / static_cast<unsigned>(s.H), seen = s.first + n % s.T + 1;
  const int h = static_cast<int>(blockIdx.x) % s.H, group = static_cast<int>(threadIdx.x) / kLanes;
  const int start = static_cast<int>(threadIdx.x) % kLanes * N;
  const T* query = qkv + n * s.query_stride() + h * s.D;
  const T* keys = kv + n / s.T * s.X * s.key_stride() + h / (s.H / s.G) * s.D;
  const T* values = keys + s.G * s.D;

  float q[kPacks][N], sums[kPacks][N] = {};
  GPTMOE_UNROLL
  for (int i = 0; i < kPacks; ++i) {
    const int d = start + i * kLanes * N;
    GPTMOE_UNROLL
    for (int e = 0; e < N; ++e) q[i][e] = 0;
    if (d >= s.D) continue;
    const auto pack = Pack<T, N>::load(query + d);
    GPTMOE_UNROLL
    for (int e = 0; e < N; ++e) q[i][e] = pack[e] * s.scale;
  }
  float max = -INFINITY, sum = 0;
  // Every lane takes part in every round, since the sums are taken over whole warps.
  for (int64_t round = 0; round < seen; round += kGroups) {
    const int64_t x = round + group;
    const bool exists = x < seen;
    const T* key = keys + x * s.key_stride();
    float score = 0;
    GPTMOE_UNROLL
    for (int i = 0; i < kPacks; ++i) {
      const int d = start + i * kLanes * N;
      if (!exists || d >= s.D) continue;
      const auto pack = Pack<T, N>::load(key + d);
      GPTMOE_UNROLL
      for (int e = 0; e < N; ++e) score = fmaf(q[i][e], pack[e], score);
    }
    score = lanes_sum<kLanes>(score);
    if (!exists) continue;
    const float largest = fmaxf(max, score), correction = expf(max - largest), weight = expf(score - largest);
    max = largest;
    sum = sum * correction + weight;
    const T* value = values + x * s.key_stride();
    GPTMOE_UNROLL
    for (int i = 0; i < kPacks; ++i) {
      const int d = start + i * kLanes * N;
      if (d >= s.D) continue;
      const auto pack = Pack<T, N>::load(value + d);
      GPTMOE_UNROLL
      for (int e = 0; e < N; ++e) sums[i][e] = fmaf(weight, pack[e], sums[i][e] * correction);
    }
  }

  if (start == 0) shared.max[group] = max, shared.sum[group] = sum;
  GPTMOE_UNROLL
  for (int i = 0; i < kPacks; ++i) {
    const int d = start + i * kLanes * N;
    GPTMOE_UNROLL
    for (int e = 0; e < N; ++e) shared.out[group][d + e] = sums[i][e];
  }
  __syncthreads();
  float largest = -INFINITY;
  for (int g = 0; g < kGroups; ++g) largest = fmaxf(largest, shared.max[g]);
  for (int d = static_cast<int>(threadIdx.x); d < s.D; d += kThreads) {
    float total = 0, weights = 0;
    for (int g = 0; g < kGroups; ++g) {
      const float correction = expf(shared.max[g] - largest);  // 0 for a group without keys
      weights = fmaf(shared.sum[g], correction, weights);
      total = fmaf(shared.out[g][d], correction, total);
    }
    out[static_cast<int64_t>(blockIdx.x) * s.D + d] = from_float<T>(total / weights);
  }
}

CacheShape shape_of(const Tensor& qkv_BTSD, const Tensor& kv_BX2GD, int64_t first) {
  const int64_t T = qkv_BTSD.size(1), S = qkv_BTSD.size(2), D = qkv_BTSD.size(3), G = kv_BX2GD.size(2) / 2;
  GPTMOE_CHECK(D <= kMaxHeadDim, "attention heads of ", D, " on a GPU: at most ", kMaxHeadDim);
  GPTMOE_CHECK(qkv_BTSD.count() / D <= INT32_MAX, qkv_BTSD.describe());
  CacheShape s{};
  s.T = static_cast<int>(T), s.H = static_cast<int>(S - 2 * G), s.G = static_cast<int>(G), s.D = static_cast<int>(D);
  s.X = kv_BX2GD.size(1), s.first = first;
  s.scale = 1.0f / std::sqrt(static_cast<float>(D));
  return s;
}

template <typename T, int N, int kD>
void launch_cached_attention(const CacheShape& s, unsigned blocks, T* out, const T* qkv, const T* kv,
                             cudaStream_t stream) {
  GPTMOE_LAUNCH((cached_attention_kernel<T, N, kD>), blocks, kThreads, sizeof(Joined<kD>), stream, s, out, qkv, kv);
}

}  // namespace

void CudaKernels::cache_keys_values(const Tensor& kv_BX2GD, const Tensor& qkv_BTSD, int64_t first) {
  const CacheShape s = shape_of(qkv_BTSD, kv_BX2GD, first);
  const auto tokens = static_cast<unsigned>(qkv_BTSD.size(0) * s.T);
  with_real(kv_BX2GD, [&]<typename T>(T*) {
    T* kv = kv_BX2GD.as<T>();
    const T* qkv = qkv_BTSD.as<T>();
    with_pack<T>(
        s.D,
        [&]<int N>(std::integral_constant<int, N>) {
          GPTMOE_LAUNCH((cache_keys_values_kernel<T, N>), tokens, kThreads, 0, stream_, s, kv, qkv);
        },
        kv, qkv);
  });
}

void CudaKernels::cached_attention(const Tensor& out_BTHD, const Tensor& qkv_BTSD, const Tensor& kv_BX2GD,
                                   int64_t first) {
  const CacheShape s = shape_of(qkv_BTSD, kv_BX2GD, first);
  const auto heads = static_cast<unsigned>(out_BTHD.count() / s.D);
  with_real(out_BTHD, [&]<typename T>(T*) {
    T* out = out_BTHD.as<T>();
    const T *qkv = qkv_BTSD.as<T>(), *kv = kv_BX2GD.as<T>();
    with_pack<T>(
        s.D,
        [&]<int N>(std::integral_constant<int, N>) {
          if (s.D <= 64)
            launch_cached_attention<T, N, 64>(s, heads, out, qkv, kv, stream_);
          else if (s.D <= 128)
            launch_cached_attention<T, N, 128>(s, heads, out, qkv, kv, stream_);
          else
            launch_cached_attention<T, N, kMaxHeadDim>(s, heads, out, qkv, kv, stream_);
        },
        qkv, kv);
  });
}

}  // namespace gptmoe::cuda
