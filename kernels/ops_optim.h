#pragma once
// Op contract, optimizer family. Conventions and letters: kernels/ops.h.
#include "base/tensor.h"

namespace gptmoe {

// One AdamW update's numbers (Loshchilov & Hutter 2019). `step` counts from 1.
struct AdamwStep {
  double learning_rate = 0, beta1 = 0, beta2 = 0, eps = 0, weight_decay = 0;
  int64_t step = 0;
};

class OptimOps {
 public:
  virtual ~OptimOps() = default;

  // x = 0.
  virtual void zero(const Tensor& x) = 0;
  // out = x; same dtype and count.
  virtual void copy(const Tensor& out, const Tensor& x) = 0;

  // sum_1 += sum of x; everything in stat, in a fixed order.
  virtual void accumulate_sum(const Tensor& sum_1, const Tensor& x) = 0;
  // sum_1 = sum of squares of x (stat), in a fixed order.
  virtual void squared_norm(const Tensor& sum_1, const Tensor& x) = 0;
  // scale_1 = min(1, max_norm / sqrt(squared_norm_1)); 1 when max_norm is 0 (stat).
  virtual void clip_scale(const Tensor& scale_1, const Tensor& squared_norm_1, double max_norm) = 0;
  // With g = scale_1 * grad:  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;
  //   master -= lr * ((m / (1 - b1^step)) / (sqrt(v / (1 - b2^step)) + eps) + weight_decay * master)
  // master, m, v updated in place; master, m, v, grad in stat. param = the new master, rounded to real. An absent
  // master says that param is in stat itself, and is updated in its place.
  virtual void adamw(const Tensor& param, const Tensor& master, const Tensor& m, const Tensor& v, const Tensor& grad,
                     const Tensor& scale_1, const AdamwStep& step) = 0;

  // The number of elements of x that are infinite or not a number.
  virtual int64_t count_nonfinite(const Tensor& x) = 0;
};

}  // namespace gptmoe
