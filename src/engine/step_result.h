#pragma once
#include <optional>
#include <vector>

#include "engine/default_norms.h"
#include "engine/engine.h"

namespace gptmoe {

// The result of one optimizer step.
struct StepResult {
  double loss = 0;       // mean cross-entropy per token, nats, without auxiliary terms
  double grad_norm = 0;  // global, before clipping
  // Mean over tokens of the squared log-sum-exp of the logits; absent without model.output_z_loss_coef.
  std::optional<double> output_z_loss;
  // For MoE models, means over the step's micro-batches; absent (load_balance_loss empty) for dense ones.
  std::vector<double> load_balance_loss;  // per MoE layer; 1 = perfectly balanced
  // Shares of assignments of the most and the least loaded expert, first of each MoE layer, then over all layers.
  std::vector<double> expert_load_max_by_layer, expert_load_min_by_layer;
  double expert_load_max = 0, expert_load_min = 0;
  // Norms of the default vectors after the step; absent without default vectors.
  std::optional<VectorNorms> default_norms;

  bool skipped = false;  // whether the step was an outlier (train.skip_spikes) and changed nothing

  // Whether the loss and the gradient norm are finite. If not, neither this step nor any later one changes the
  // parameters.
  bool finite() const;
};

// The result of a step from the values of its `sums`, in the order of sums.all_S. `config` comes
// from config_for_rank(); micro_batches counts the micro-batches of all ranks.
StepResult step_result(const Config& config, const StepSums& sums, const std::vector<double>& values,
                       int64_t micro_batches);

}  // namespace gptmoe
