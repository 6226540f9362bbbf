#pragma once
// A model together with its memory. Construction plans every arena without touching memory, by running one step through
// PlanOps; commit() then obtains exactly that. `gptmoe plan` stops after the first half.
#include <string>
#include <vector>

#include "config/config.h"
#include "model/gpt.h"
#include "optim/adamw.h"

namespace gptmoe {

enum class Purpose { train, forward };

class Instance {
 public:
  // B and T of one micro-batch; dtypes as the backend names them.
  Instance(const Config& config, Purpose purpose, int64_t B, int64_t T, DType real, DType stat);

  // Obtains the memory and fills what is constant. Parameters are zero until initialised or loaded.
  void commit(Ops& ops);

  Gpt& gpt() { return gpt_; }
  const Gpt& gpt() const { return gpt_; }
  AdamW& adamw() { return adamw_; }
  const Activations& activations() const { return activations_; }
  Scratch& scratch() { return scratch_; }
  // Sums over a step's micro-batches: cross-entropy (stat, one element) and router statistics (like one micro-batch's).
  const Tensor& loss_sum_1() const { return loss_sum_1_; }
  const Tensor& router_sums_LW() const { return router_sums_LW_; }

  struct ArenaSize {
    std::string name;
    int64_t bytes;
  };
  std::vector<ArenaSize> arena_sizes() const;
  int64_t total_bytes() const;
  // Floating-point operations of the model's products per token, without recomputation. Backward 0 for forward-only.
  double forward_flops_per_token() const { return forward_flops_; }
  double backward_flops_per_token() const { return backward_flops_; }

 private:
  void lay_out(const Ops& ops);
  void count(DType real, DType stat);

  Purpose purpose_;
  int64_t B_, T_;
  ActivationMode mode_;
  Gpt gpt_;
  AdamW adamw_;
  Arena parameters_{"parameters"}, gradients_{"gradients"}, optimizer_{"optimizer"}, state_{"state"},
      activations_arena_{"activations"};
  Scratch scratch_;
  Activations activations_;
  Tensor loss_sum_1_, router_sums_LW_;
  double forward_flops_ = 0, backward_flops_ = 0;
};

}  // namespace gptmoe
