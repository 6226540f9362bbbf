#include "analysis/analysis.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no NaN: the library writes null for it.
Json spreads_json(const std::vector<Statistics>& spreads) {
  Json out = Json::array();
  for (const Statistics& spread : spreads) out.push_back({{"mean", spread.mean}, {"std", spread.std}});
  return out;
}

Json domains_json(const DomainRouting& domains) {
  if (domains.layers.empty()) return nullptr;
  Json shares = Json::array(), means = Json::array(), distances = Json::array();
  for (const DomainShares& layer : domains.layers) {
    shares.push_back(layer.share);
    means.push_back(layer.mean);
    distances.push_back(layer.distance);
  }
  return {{"names", domains.names}, {"data", domains.shards}, {"tokens", domains.tokens},
          {"expert_share", shares}, {"mean_share", means},    {"distance", distances}};
}

Json default_vectors_json(const Analysis& analysis) {
  if (analysis.default_source == DefaultSource::none) return nullptr;
  Json norms = Json::array(), cosines = Json::array(), means = Json::array();
  for (const Table& layer : analysis.default_vectors) {
    Json& row = norms.emplace_back(Json::array());
    for (const auto& vector : layer) row.push_back(norm_of(vector));
    const Table between = cosines_between(layer);
    means.push_back(mean_off_diagonal(between));
    cosines.push_back(between);
  }
  return {{"source", analysis.default_source == DefaultSource::checkpoint ? "checkpoint" : "estimated"},
          {"norm", norms},
          {"mean_cosine", means},
          {"cosine", cosines}};
}

Json errors_json(const Analysis& analysis) {
  if (analysis.default_source == DefaultSource::none) return nullptr;
  const auto means = [](const ErrorMeans& errors) -> Json {
    return {{"error", errors.error}, {"expert_norm", errors.size}};
  };
  return {{"chosen", means(analysis.chosen)}, {"others", means(analysis.others)}};
}

Json gradients_json(const Analysis& analysis) {
  Json out = Json::array();
  for (const GradientSimilarity& similarity : analysis.gradients)
    out.push_back({{"method", similarity.method == Method::topk ? "topk" : "default"},
                   {"scope", similarity.scope == Scope::router ? "router" : "model"},
                   {"experts_per_token", similarity.experts_per_token},
                   {"cosine", spreads_json(similarity.cosine)},
                   {"norm_ratio", spreads_json(similarity.norm_ratio)}});
  return out;
}

}  // namespace

Json analysis_json(const Analysis& analysis) {
  Json entropy = Json::array(), load = Json::array(), coactivation = Json::array();
  for (const LayerProfile& layer : analysis.layers) {
    entropy.push_back(layer.entropy);
    load.push_back(layer.load);
    coactivation.push_back(layer.coactivation);
  }
  return {{"experts", analysis.experts},
          {"experts_per_token", analysis.experts_per_token},
          {"routing_batches", analysis.batches.profile_batches},
          {"gradient_batches", analysis.batches.gradient_batches},
          {"notes", analysis.notes},
          {"router_entropy", entropy},
          {"expert_load", load},
          {"coactivation", analysis.experts_per_token > 1 ? coactivation : Json()},
          {"domains", domains_json(analysis.domains)},
          {"default_vectors", default_vectors_json(analysis)},
          {"default_error", errors_json(analysis)},
          {"gradient_similarity", gradients_json(analysis)}};
}

}  // namespace gptmoe
