#pragma once
// AdamW with global-norm clipping over a ParamTable.
#include "config/config.h"
#include "memory/param_table.h"
#include "memory/pass.h"

namespace gptmoe {

class AdamW {
 public:
  explicit AdamW(const OptimizerConfig& config) : config_(config) {}

  // Allocates the moments of this rank's elements and a few scalars. They are zero once the arena is committed.
  // allocate() may run again after commit().
  void allocate(Arena& arena, const Partition& partition, DType stat);

  // Uploads the numbers of `step`, counted from 1, that update() uses. All other work is the same in every step.
  void set_step(Memory& memory, double learning_rate, int64_t step) const;
  // squared_norm_1 (stat) = sum of squares of all gradients, over all ranks if each holds a part of them.
  void measure_norm(const Pass& pass, const ParamTable& params, const Tensor& squared_norm_1) const;
  // Computes the clip scale, then updates this rank's parameters. The master, if there is one, has the layout of the
  // moments. If the norm or the loss is not finite, no parameter moves, now or later.
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
