#include "analysis/routing_profile.h"

#include "base/statistics.h"

namespace gptmoe {

RoutingCounts::RoutingCounts(Memory& memory, int64_t mixtures, int64_t experts)
    : memory_(memory),
      mixtures_(static_cast<size_t>(mixtures)),
      together_(mixtures_, Table(static_cast<size_t>(experts), std::vector<double>(static_cast<size_t>(experts)))) {}

void RoutingCounts::forward(const Routing& routing, const Tensor&) {
  std::vector<int32_t> expert_ids(static_cast<size_t>(routing.expert_ids_NK.count()));
  memory_.download(expert_ids.data(), routing.expert_ids_NK);
  add(next_, expert_ids, download_values(memory_, routing.gates_NK),
      static_cast<size_t>(routing.expert_ids_NK.size(1)));
  next_ = (next_ + 1) % mixtures_;
}

void RoutingCounts::add(size_t layer, const std::vector<int32_t>& expert_ids_NK, const std::vector<double>& gates_NK,
                        size_t K) {
  Table& together = together_.at(layer);
  const auto served = [&](size_t slot) { return expert_ids_NK[slot] >= 0 && gates_NK[slot] != 0; };
  for (size_t first = 0; first < expert_ids_NK.size(); first += K)
    for (size_t a = first; a < first + K; ++a)
      for (size_t b = first; b < first + K; ++b)
        if (served(a) && served(b))
          together[static_cast<size_t>(expert_ids_NK[a])][static_cast<size_t>(expert_ids_NK[b])] += 1;
}

std::vector<double> RoutingCounts::load(size_t layer) const {
  std::vector<double> load;
  double total = 0;
  for (size_t e = 0; e < together_.at(layer).size(); ++e) total += load.emplace_back(together_[layer][e][e]);
  for (double& share : load) share /= total;
  return load;
}

Table RoutingCounts::coactivation(size_t layer) const {
  Table shares = together_.at(layer);
  for (size_t i = 0; i < shares.size(); ++i) {
    const double served = together_[layer][i][i];
    for (double& share : shares[i]) share = served > 0 ? share / served : kUnknown;
  }
  return shares;
}

std::vector<LayerProfile> profile_routing(Engine& engine, Ops& ops, const Batches& batches, int64_t count,
                                          const PassDone& done) {
  const ModelConfig& model = engine.gpt().config();
  const Activations& a = engine.activations();
  RoutingCounts counts(ops.memory(), model.moe_layers(), model.num_experts);
  const auto communicator = make_single_communicator();
  Pass pass{ops, engine.scratch(), *communicator, PassKind::evaluate};
  pass.observer = &counts;

  std::vector<LayerProfile> layers(static_cast<size_t>(model.moe_layers()));
  const auto width = static_cast<size_t>(a.router_stats_LW.size(1));
  const auto experts = static_cast<size_t>(model.num_experts);
  for (int64_t batch = 0; batch < count; ++batch) {
    batches.fill(engine, batch);
    engine.gpt().forward(pass, a);
    const std::vector<double> stats = download_values(ops.memory(), a.router_stats_LW);
    for (size_t l = 0; l < layers.size(); ++l)
      layers[l].entropy += stats[l * width + experts + 1] / static_cast<double>(count);
    done();
  }
  for (size_t l = 0; l < layers.size(); ++l)
    layers[l].load = counts.load(l), layers[l].coactivation = counts.coactivation(l);
  return layers;
}

}  // namespace gptmoe
