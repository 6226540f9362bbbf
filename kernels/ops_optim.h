#pragma once
// Op contract, optimizer family. Conventions and letters: kernels/ops.h.
#include <array>
#include <cmath>

#include "base/tensor.h"

namespace gptmoe {

// AdamW's constants (Loshchilov & Hutter 2019).
struct AdamwConstants {
  double beta1 = 0, beta2 = 0, eps = 0, weight_decay = 0;
};

// What of an update changes from step to step. It travels as a tensor, rates_3 (stat): a recorded update can then be
// replayed at the next step.
inline std::array<double, 3> adamw_rates(double learning_rate, const AdamwConstants& constants, int64_t step) {
  const auto t = static_cast<double>(step);  // counts from 1
  return {learning_rate, learning_rate / (1 - std::pow(constants.beta1, t)), 1 / (1 - std::pow(constants.beta2, t))};
}

class OptimOps {
 public:
  virtual ~OptimOps() = default;

  // x = 0.
  virtual void zero(const Tensor& x) = 0;
  // out = x; same dtype and count.
  virtual void copy(const Tensor& out, const Tensor& x) = 0;
  // out = x in another type, of the same count: stat rounded to bf16, to nearest, ties to even, or bf16 as stat.
  virtual void cast(const Tensor& out, const Tensor& x) = 0;

  // sum_1 += sum of x; everything in stat, in a fixed order.
  virtual void accumulate_sum(const Tensor& sum_1, const Tensor& x) = 0;
  // sum_1 = sum of squares of x (stat), in a fixed order.
  virtual void squared_norm(const Tensor& sum_1, const Tensor& x) = 0;
  // scale_1 = min(1, max_norm / sqrt(squared_norm_1)); 1 when max_norm is 0 (stat). NaN where squared_norm_1 or loss_1
  // is not finite, and where scale_1 is NaN already: once a step has gone wrong, no later one moves a parameter.
  virtual void clip_scale(const Tensor& scale_1, const Tensor& squared_norm_1, const Tensor& loss_1,
                          double max_norm) = 0;
  // With g = scale_1 * grad and rates_3 by adamw_rates():  m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;
  //   master -= rates[1] * m / (sqrt(rates[2] * v) + eps) + rates[0] * weight_decay * master
  // master, m, v updated in place; master, m, v, grad in stat. param = the new master, rounded to real. An absent
  // master says that param is in stat itself, and is updated in its place. A NaN scale_1 leaves everything as it is.
  virtual void adamw(const Tensor& param, const Tensor& master, const Tensor& m, const Tensor& v, const Tensor& grad,
                     const Tensor& scale_1, const Tensor& rates_3, const AdamwConstants& constants) = 0;

  // The number of elements of x that are infinite or not a number.
  virtual int64_t count_nonfinite(const Tensor& x) = 0;
};

}  // namespace gptmoe
