#pragma once
// AdamW with global-norm clipping over a ParamTable.
#include "config/config.h"
#include "runtime/param_table.h"
#include "runtime/pass.h"

namespace gptmoe {

class AdamW {
 public:
  explicit AdamW(const OptimizerConfig& config) : config_(config) {}

  // Moments laid out like the parameters, and two scalars; zero once the arena is committed. May run again after
  // commit().
  void allocate(Arena& arena, const ParamTable& params, DType stat);

  // The squared norm of all gradients. Separate from step(), so that a non-finite gradient can be refused before it
  // reaches a parameter.
  void measure_norm(const Pass& pass, const ParamTable& params) const;
  // Clip scale, then the update of every parameter. `step` counts from 1.
  void step(const Pass& pass, const ParamTable& params, double learning_rate, int64_t step) const;

  // What measure_norm() found (stat, one element).
  const Tensor& squared_norm() const { return squared_norm_1_; }
  const Tensor& m() const { return m_; }
  const Tensor& v() const { return v_; }

 private:
  OptimizerConfig config_;
  Tensor m_, v_, squared_norm_1_, clip_scale_1_;
};

}  // namespace gptmoe
