#include "analysis/domain_routing.h"

#include <cmath>

namespace gptmoe {

DomainShares compare_domains(Table share) {
  const auto domains = static_cast<double>(share.size());
  DomainShares result;
  result.mean.resize(share.at(0).size());
  for (const auto& row : share)
    for (size_t e = 0; e < row.size(); ++e) result.mean[e] += row[e] / domains;
  result.distance = 0;
  for (const auto& row : share)
    for (size_t e = 0; e < row.size(); ++e) result.distance += 0.5 * std::fabs(row[e] - result.mean[e]) / domains;
  result.share = std::move(share);
  return result;
}

DomainRouting profile_domains(Engine& engine, Ops& ops, const std::vector<Domain>& domains, const PassDone& done) {
  DomainRouting routing;
  if (domains.empty()) return routing;
  routing.tokens = domains[0].batches.count * engine.activations().tokens_BT.count();
  std::vector<Table> shares(static_cast<size_t>(engine.gpt().config().moe_layers()));
  for (const Domain& domain : domains) {
    GPTMOE_CHECK(domain.batches.count == domains[0].batches.count, domain.name);
    routing.names.push_back(domain.name);
    routing.shards.push_back(domain.shards);
    const auto layers = profile_routing(engine, ops, domain.batches, domain.batches.count, done);
    for (size_t l = 0; l < layers.size(); ++l) shares[l].push_back(layers[l].load);
  }
  for (Table& share : shares) routing.layers.push_back(compare_domains(std::move(share)));
  return routing;
}

}  // namespace gptmoe
