#pragma once
// Softmax of attention scores that tensor cores left in registers: [kM][columns / 8][4], in the layout of mma_bf16's D.
// A row's elements are in four neighbouring lanes. Exponents are to base 2: `slope` is the scale of scores times
// log2(e).
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/instructions.cuh"

namespace gptmoe::cuda {

constexpr float kLog2E = 1.4426950408889634f;

// The running state for a lane's rows: the probabilities so far are exp2(slope * (score - max)), not yet divided by
// their sum. `max` is the largest score so far or slightly less: as long as no score exceeds it by more than kSlack
// powers of two, nothing overflows, and products with the probabilities need no correction.
template <int kM>
class RunningSoftmax {
 public:
  __device__ RunningSoftmax() {
    GPTMOE_UNROLL
    for (int i = 0; i < kM; ++i)
      for (int half = 0; half < 2; ++half) max_[i][half] = kLowestScore, sum_[i][half] = 0, correction_[i][half] = 1;
  }

  // Raises `max` if the next scores require it. Returns whether it did so for any row of the warp: then correct()
  // belongs on the product with all earlier probabilities.
  template <int kBlocks>
  __device__ bool raise(const float (&scores)[kM][kBlocks][4], float slope) {
    constexpr float kSlack = 8;
    float largest[kM][2];
    bool some = false;
    GPTMOE_UNROLL
    for (int i = 0; i < kM; ++i)
      for (int half = 0; half < 2; ++half) {
        float x = -INFINITY;
        GPTMOE_UNROLL
        for (int n = 0; n < kBlocks; ++n) x = fmaxf(x, fmaxf(scores[i][n][2 * half], scores[i][n][2 * half + 1]));
        x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
        x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
        const bool more = (x - max_[i][half]) * slope > kSlack;
        largest[i][half] = more ? x : max_[i][half];
        some |= more;
      }
    if (!__any_sync(kAllLanes, some)) return false;
    GPTMOE_UNROLL
    for (int i = 0; i < kM; ++i)
      for (int half = 0; half < 2; ++half) {
        correction_[i][half] = exp2_approximate((max_[i][half] - largest[i][half]) * slope);
        max_[i][half] = largest[i][half];
        sum_[i][half] *= correction_[i][half];
      }
    return true;
  }
  template <int kBlocks>
  __device__ void correct(float (&product)[kM][kBlocks][4]) const {
    GPTMOE_UNROLL
    for (int i = 0; i < kM; ++i)
      for (int n = 0; n < kBlocks; ++n)
        for (int e = 0; e < 4; ++e) product[i][n][e] *= correction_[i][e / 2];
  }

  // Turns scores into probabilities, not yet divided by the sum.
  template <int kBlocks>
  __device__ void exponentiate(float (&scores)[kM][kBlocks][4], float slope) {
    GPTMOE_UNROLL
    for (int i = 0; i < kM; ++i)
      for (int half = 0; half < 2; ++half) {
        const float offset = -max_[i][half] * slope;
        GPTMOE_UNROLL
        for (int n = 0; n < kBlocks; ++n)
          for (int e = 2 * half; e < 2 * half + 2; ++e) {
            scores[i][n][e] = exp2_approximate(fmaf(scores[i][n][e], slope, offset));
            sum_[i][half] += scores[i][n][e];
          }
      }
  }

  // After the last scores: the divisors of the rows, and their log-sum-exp.
  __device__ void finish(float (&inverse)[kM][2], float (&lse)[kM][2], float scale) const {
    GPTMOE_UNROLL
    for (int i = 0; i < kM; ++i)
      for (int half = 0; half < 2; ++half) {
        float sum = sum_[i][half];
        sum += __shfl_xor_sync(kAllLanes, sum, 1);
        sum += __shfl_xor_sync(kAllLanes, sum, 2);
        inverse[i][half] = 1.0f / sum;
        lse[i][half] = max_[i][half] * scale + logf(sum);
      }
  }

 private:
  float max_[kM][2], sum_[kM][2], correction_[kM][2];
};

// ---- The backward knows the log-sum-exp of each row.

// Turns scores into exp2(slope * score - offset(i, n, e)).
template <int kM, int kBlocks, typename Offset>
__device__ void exponentiate(float (&scores)[kM][kBlocks][4], float slope, const Offset& offset) {
  GPTMOE_UNROLL
  for (int i = 0; i < kM; ++i)
    for (int n = 0; n < kBlocks; ++n)
      for (int e = 0; e < 4; ++e) scores[i][n][e] = exp2_approximate(fmaf(scores[i][n][e], slope, -offset(i, n, e)));
}

// Turns the gradients of probabilities into the gradients of scores, not yet multiplied by the scale.
template <int kM, int kBlocks, typename Delta>
__device__ void to_score_gradients(float (&dprobs)[kM][kBlocks][4], const float (&probs)[kM][kBlocks][4],
                                   const Delta& delta) {
  GPTMOE_UNROLL
  for (int i = 0; i < kM; ++i)
    for (int n = 0; n < kBlocks; ++n)
      for (int e = 0; e < 4; ++e) dprobs[i][n][e] = probs[i][n][e] * (dprobs[i][n][e] - delta(i, n, e));
}

}  // namespace gptmoe::cuda
