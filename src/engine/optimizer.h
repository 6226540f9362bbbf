#pragma once
// The optimizer over a ParamTable: clipping by the global norm, then AdamW (Loshchilov & Hutter 2019) or Muon for each
// row, as update_rules() says.
#include "config/config.h"
#include "engine/moment.h"
#include "engine/muon.h"
#include "engine/update_rules.h"
#include "memory/param_table.h"
#include "memory/pass.h"

namespace gptmoe {

class Optimizer {
 public:
  // Throws KeyError as update_rules() does. `params` is complete.
  Optimizer(const OptimizerConfig& config, const ParamTable& params);

  // Allocates the moments of this rank's elements, in the type of optimizer.state_dtype, and a few constants. The
  // moments are zero once the arena is committed. allocate() may run again after commit().
  void allocate(Arena& arena, const Partition& partition, DType stat);
  // Fills the constants, once the arena is committed.
  void prepare(Memory& memory) const { muon_.prepare(memory); }

  // Uploads the numbers that update() uses in step `step`, counted from 1. `learning_rate` is the scheduled value of
  // optimizer.learning_rate. The rest of update() is the same in every step.
  void set_step(Memory& memory, double learning_rate, int64_t step) const;
  // squared_norm_1 (stat) = sum of squares of all gradients, over all ranks if each holds a part of them.
  void measure_norm(const Pass& pass, const ParamTable& params, const Tensor& squared_norm_1) const;
  // Computes the clip scale, then updates this rank's parameters. The master, if there is one, has the layout of
  // partition(). If the norm or the loss is not finite, no parameter changes, now or later.
  void update(const Pass& pass, const ParamTable& params, const Tensor& squared_norm_1, const Tensor& loss_1) const;

  // The elements whose m this rank holds.
  const Partition& partition() const { return partition_; }
  // The elements that have a v on some rank: those that follow AdamW. This rank holds v for those that are also in
  // partition().
  const Partition& second_moments() const { return second_moments_; }
  const Moment& m() const { return m_; }  // AdamW's first moment, or Muon's momentum
  const Moment& v() const { return v_; }  // AdamW's second moment

 private:
  Optimizer(const OptimizerConfig& config, const ParamTable& params, const std::vector<UpdateRule>& rules);

  // Neighbouring rows of one rule, with the padding between them.
  struct Range {
    int64_t offset, count;
    UpdateRule rule;
  };

  void adamw(const Pass& pass, const ParamTable& params, const Range& range) const;

  OptimizerConfig config_;
  std::vector<Range> ranges_;
  Muon muon_;
  Partition partition_, second_moments_;
  Partition coded_first_, coded_second_;  // with 8-bit moments, the elements of any rank that are coded
  Moment m_{RoundingStream::first_moment}, v_{RoundingStream::second_moment};
  Tensor clip_scale_1_, rates_3_, step_1_, squared_norms_P_;  // P pieces of the partition
};

}  // namespace gptmoe
