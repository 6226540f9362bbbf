#pragma once
// What the attention kernels share: the layout of heads in packed projections, the order in which blocks take their
// work, and the launchers of the two families of kernels.
//
// Notation: heads are numbered over all sequences b. Query head u = b H + h reads key/value head v = b G + g, which is
// u / (H / G).
#include <algorithm>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda_limits.h"

namespace gptmoe::cuda {

struct AttentionShape {
  int64_t B;
  int T, H, G, D;
  int group;                       // H / G
  float scale;                     // 1 / sqrt(D)
  int64_t qkv_stride, out_stride;  // elements from one token to the next
  int64_t values;                  // elements from a head's keys to its values
  const int32_t* starts;           // [b][t]: the first key that a query sees; null: key 0

  // Offsets of a head's elements in the first token of its sequence.
  __host__ __device__ int64_t query(int u) const { return u / H * (T * qkv_stride) + u % H * D; }
  __host__ __device__ int64_t key(int v) const { return v / G * (T * qkv_stride) + (H + v % G) * D; }
  __host__ __device__ int64_t out(int u) const { return u / H * (T * out_stride) + u % H * D; }

  // The first key that query t of sequence b sees. Positions after the last query get the last query's answer.
  __device__ int start(int b, int t) const { return starts ? starts[int64_t{b} * T + min(t, T - 1)] : 0; }
};

template <typename T>
struct AttentionForward {
  T* out;
  float* lse;
  const T* qkv;
};

template <typename T>
struct AttentionBackward {
  T* dqkv;
  const T* dout;
  const float *lse, *delta;  // [u][t]; delta = <dout, out>
  const T* qkv;
};

// The initial value of a running maximum of scores: below every score, but finite. So a tile in which a query sees no
// key changes nothing.
constexpr float kLowestScore = -1e30f;

// A block's work is one tile of one head. Heads are taken in sections whose keys and values stay in the L2 cache. In a
// section the tiles with the most work come first, so that small ones fill the gaps at the end.
class AttentionSchedule {
 public:
  // Schedules `heads` heads of `tiles` tiles each. The operands of one head take `head_bytes`.
  AttentionSchedule(int64_t heads, int64_t tiles, int64_t head_bytes)
      : heads_(static_cast<uint32_t>(heads)),
        tiles_(static_cast<uint32_t>(tiles)),
        section_(static_cast<uint32_t>(
            std::clamp<int64_t>(kSectionBytes / std::max<int64_t>(head_bytes, 1), 1, std::max<int64_t>(heads, 1)))) {
    GPTMOE_CHECK(heads * tiles <= INT32_MAX, heads, " heads of ", tiles, " tiles");
  }
  unsigned blocks() const { return heads_ * tiles_; }

  struct Work {
    int head;
    int rank;  // 0: the tile with the most work
  };
  __device__ Work work(uint32_t block) const {
    const uint32_t first = block / (section_ * tiles_) * section_;
    const uint32_t heads = min(section_, heads_ - first), rest = block - first * tiles_;
    return {static_cast<int>(first + rest % heads), static_cast<int>(rest / heads)};
  }
  __device__ int last_rank() const { return static_cast<int>(tiles_) - 1; }

 private:
  static constexpr int64_t kSectionBytes = int64_t{16} << 20;

  uint32_t heads_, tiles_, section_;
};

// attention_mma_forward.cu, attention_mma_backward.cu: bf16 on tensor cores, for D a multiple of kVector up to
// kMmaMaxD.
constexpr int64_t kMmaMaxD = kMaxTensorHeadDim;
void attention_mma_forward(const AttentionShape& shape, const AttentionForward<bf16>& tensors, cudaStream_t stream);
void attention_mma_backward(const AttentionShape& shape, const AttentionBackward<bf16>& tensors, cudaStream_t stream);

// attention_fma.cu: f32 arithmetic throughout, for any D up to kFmaMaxD; T is float or bf16.
constexpr int64_t kFmaMaxD = kMaxHeadDim;
template <typename T>
void attention_fma_forward(const AttentionShape& shape, const AttentionForward<T>& tensors, cudaStream_t stream);
template <typename T>
void attention_fma_backward(const AttentionShape& shape, const AttentionBackward<T>& tensors, cudaStream_t stream);

}  // namespace gptmoe::cuda
