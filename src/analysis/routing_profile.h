#pragma once
// How a model's own router distributes tokens over experts.
#include "analysis/model_variant.h"

namespace gptmoe {

struct LayerProfile {
  double entropy = 0;        // of the router's distribution, mean over tokens, nats
  std::vector<double> load;  // [expert] share of the assignments; sums to 1
  Table coactivation;        // [i][j] share of i's tokens that j also serves; kUnknown if i serves none
};

// Counts which expert serves which token in forward passes. A slot (one of a token's K assignments) whose gate is zero
// does not count.
class RoutingCounts : public MoeObserver {
 public:
  // `mixtures` is the number of MoE layers.
  RoutingCounts(Memory& memory, int64_t mixtures, int64_t experts);

  void forward(const Routing& routing, const Tensor& rows_RC) override;
  // Adds N tokens of K slots each.
  void add(size_t layer, const std::vector<int32_t>& expert_ids_NK, const std::vector<double>& gates_NK, size_t K);

  std::vector<double> load(size_t layer) const;
  Table coactivation(size_t layer) const;

 private:
  Memory& memory_;
  size_t mixtures_, next_ = 0;
  std::vector<Table> together_;  // [layer][i][j] number of tokens that experts i and j both serve; i may be j
};

// Means over batches 0 ... count-1, by MoE layer. The engine's parameters and router state do not change.
std::vector<LayerProfile> profile_routing(Engine& engine, Ops& ops, const Batches& batches, int64_t count,
                                          const PassDone& done);

}  // namespace gptmoe
