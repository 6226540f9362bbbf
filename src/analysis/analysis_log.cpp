#include "analysis/analysis.h"

namespace gptmoe {
namespace {

void set_domains(const DomainRouting& domains, AnalysisLog& log) {
  if (domains.layers.empty()) return;
  log.domains = domains.names;
  log.domain_data = domains.shards;
  log.domain_tokens = domains.tokens;
  for (const DomainShares& layer : domains.layers) {
    log.domain_share.push_back(layer.share);
    log.domain_mean.push_back(layer.mean);
    log.domain_distance.push_back(layer.distance);
  }
}

void set_default_vectors(const Analysis& analysis, AnalysisLog& log) {
  if (analysis.default_source == DefaultSource::none) return;
  log.default_source = analysis.default_source == DefaultSource::checkpoint ? "checkpoint" : "estimated";
  for (const Table& layer : analysis.default_vectors) {
    std::vector<double>& norms = log.default_norm.emplace_back();
    for (const auto& vector : layer) norms.push_back(norm_of(vector));
    log.cosine.push_back(cosines_between(layer));
    log.mean_cosine.push_back(mean_off_diagonal(log.cosine.back()));
  }
  log.chosen_error = analysis.chosen.error;
  log.chosen_norm = analysis.chosen.size;
  log.others_error = analysis.others.error;
  log.others_norm = analysis.others.size;
}

}  // namespace

AnalysisLog analysis_log(const Analysis& analysis) {
  AnalysisLog log;
  log.experts = analysis.experts;
  log.experts_per_token = analysis.experts_per_token;
  log.routing_batches = analysis.batches.profile_batches;
  log.gradient_batches = analysis.batches.gradient_batches;
  log.notes = analysis.notes;
  for (const LayerProfile& layer : analysis.layers) {
    log.router_entropy.push_back(layer.entropy);
    log.expert_load.push_back(layer.load);
    if (analysis.experts_per_token > 1) log.coactivation.push_back(layer.coactivation);
  }
  set_domains(analysis.domains, log);
  set_default_vectors(analysis, log);
  for (const GradientSimilarity& one : analysis.gradients)
    log.similarities.push_back({one.method == Method::topk ? "topk" : "default",
                                one.scope == Scope::router ? "router" : "model", one.experts_per_token, one.cosine,
                                one.norm_ratio});
  return log;
}

}  // namespace gptmoe
