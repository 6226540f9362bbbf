#pragma once
// How a model's own router spreads tokens over experts.
#include "analysis/model_variant.h"

namespace gptmoe {

struct LayerProfile {
  double entropy = 0;        // mean over tokens of the router distribution's, nats
  std::vector<double> load;  // [expert] share of the assignments; sums to 1
  Table coactivation;        // [i][j] share of the tokens of i that j serves too; kUnknown where i serves none
};

// Counts who serves whom in forward passes. A slot whose gate is zero serves nobody.
class RoutingCounts : public MoeObserver {
 public:
  RoutingCounts(Memory& memory, int64_t mixtures, int64_t experts);

  void forward(const Routing& routing, const Tensor& rows_RC) override;
  // N tokens of K slots each.
  void add(size_t layer, const std::vector<int32_t>& expert_ids_NK, const std::vector<double>& gates_NK, size_t K);

  std::vector<double> load(size_t layer) const;
  Table coactivation(size_t layer) const;

 private:
  Memory& memory_;
  size_t mixtures_, next_ = 0;
  std::vector<Table> together_;  // [layer][i][j] tokens that both serve; on the diagonal those of i
};

// Means over batches 0 ... count-1, by mixture. The engine's parameters and router state stay as they are.
std::vector<LayerProfile> profile_routing(Engine& engine, Ops& ops, const Batches& batches, int64_t count,
                                          const PassDone& done);

}  // namespace gptmoe
