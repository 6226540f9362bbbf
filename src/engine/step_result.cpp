#include "engine/step_result.h"

#include <algorithm>
#include <cmath>

namespace gptmoe {

bool StepResult::finite() const { return std::isfinite(loss) && std::isfinite(grad_norm); }

StepResult step_result(const Config& config, const StepSums& sums, const std::vector<double>& values,
                       int64_t micro_batches) {
  StepResult result;
  const Tensor& router_LW = sums.router_LW;
  const auto routed = static_cast<size_t>(router_LW.present() ? router_LW.count() : 0);
  const double tokens = static_cast<double>(config.train.global_batch_size * config.train.sequence_length);
  result.loss = values[routed] / tokens;
  result.grad_norm = std::sqrt(values[routed + 1]);
  const auto share = 1.0 / static_cast<double>(micro_batches);
  if (config.model.output_z_loss_coef > 0) result.output_z_loss = values[routed + 2] * share;
  if (!router_LW.present()) return result;
  result.expert_load_min = 1;
  const int64_t layers = router_LW.size(0), width = router_LW.size(1), experts = config.model.num_experts;
  for (int64_t layer = 0; layer < layers; ++layer) {
    double most = 0, least = 1;
    for (int64_t e = 0; e < experts; ++e) {
      const double load = values[static_cast<size_t>(layer * width + e)] * share;
      most = std::max(most, load);
      least = std::min(least, load);
    }
    result.expert_load_max_by_layer.push_back(most);
    result.expert_load_min_by_layer.push_back(least);
    result.expert_load_max = std::max(result.expert_load_max, most);
    result.expert_load_min = std::min(result.expert_load_min, least);
    result.load_balance_loss.push_back(values[static_cast<size_t>(layer * width + experts)] * share);
  }
  return result;
}

}  // namespace gptmoe
