#pragma once
// AdamW with global-norm clipping over a ParamTable.
#include "config/config.h"
#include "memory/param_table.h"
#include "memory/pass.h"

namespace gptmoe {

class AdamW {
 public:
  explicit AdamW(const OptimizerConfig& config) : config_(config) {}

  // Moments of what this rank updates, and a few scalars; zero once the arena is committed. May run again after
  // commit().
  void allocate(Arena& arena, const Partition& partition, DType stat);

  // Makes `step`, counted from 1, the one that update() makes. All that depends on it: what follows is the same work
  // every step.
  void set_step(Memory& memory, double learning_rate, int64_t step) const;
  // squared_norm_1 = of all gradients (stat), over the ranks where each has a part of them.
  void measure_norm(const Pass& pass, const ParamTable& params, const Tensor& squared_norm_1) const;
  // Clip scale, then the update of this rank's parameters, whose master, if there is one, is laid out as its moments
  // are; none moves, now or later, when the norm or the loss is not finite.
  void update(const Pass& pass, const ParamTable& params, const Tensor& squared_norm_1, const Tensor& loss_1) const;

  const Partition& partition() const { return partition_; }
  const Tensor& m() const { return m_; }
  const Tensor& v() const { return v_; }

 private:
  AdamwConstants constants(bool decayed) const {
    return {config_.beta1, config_.beta2, config_.eps, decayed ? config_.weight_decay : 0.0};
  }

  OptimizerConfig config_;
  Partition partition_;
  Tensor m_, v_, clip_scale_1_, rates_3_, squared_norms_P_;  // P pieces of the partition
};

}  // namespace gptmoe
