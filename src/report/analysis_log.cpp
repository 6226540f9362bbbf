#include "report/analysis_log.h"

#include "base/check.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;

void read(const Json& json, double& to) { to = json.is_null() ? kUnknown : json.get<double>(); }
void read(const Json& json, int64_t& to) { to = json.get<int64_t>(); }
void read(const Json& json, std::string& to) { to = json.get<std::string>(); }
template <typename T>
void read(const Json& json, std::vector<T>& to) {
  if (!json.is_array()) throw std::invalid_argument("not a list");
  for (const Json& item : json) read(item, to.emplace_back());
}

// [{"mean", "std"}] apart.
void read_spreads(const Json& json, AnalysisLog::Values& mean, AnalysisLog::Values* std = nullptr) {
  for (const Json& item : json) {
    read(item.at("mean"), mean.emplace_back());
    if (std) read(item.at("std"), std->emplace_back());
  }
}

void read_domains(const Json& json, AnalysisLog& log) {
  read(json.at("names"), log.domains);
  read(json.at("tokens"), log.domain_tokens);
  read(json.at("expert_share"), log.domain_share);
  read(json.at("mean_share"), log.domain_mean);
  read(json.at("distance"), log.domain_distance);
}

void read_default_vectors(const Json& json, AnalysisLog& log) {
  if (json.at("default_vectors").is_null()) return;
  const Json &vectors = json.at("default_vectors"), &errors = json.at("default_error");
  read(vectors.at("source"), log.default_source);
  read(vectors.at("norm"), log.default_norm);
  read(vectors.at("mean_cosine"), log.mean_cosine);
  read(vectors.at("cosine"), log.cosine);
  read(errors.at("chosen").at("error"), log.chosen_error);
  read(errors.at("chosen").at("expert_norm"), log.chosen_norm);
  read(errors.at("others").at("error"), log.others_error);
  read(errors.at("others").at("expert_norm"), log.others_norm);
}

void read_similarities(const Json& json, AnalysisLog& log) {
  for (const Json& item : json) {
    AnalysisLog::Similarity& to = log.similarities.emplace_back();
    read(item.at("method"), to.method);
    read(item.at("scope"), to.scope);
    read(item.at("experts_per_token"), to.experts_per_token);
    read_spreads(item.at("cosine"), to.cosine, &to.cosine_std);
    read_spreads(item.at("norm_ratio"), to.norm_ratio);
  }
}

void read_collapse(const Json& json, AnalysisLog& log) {
  for (const Json& item : json.at("evals")) {
    CollapsePoint& to = log.collapse.emplace_back();
    read(item.at("step"), to.step);
    read(item.at("tokens"), to.tokens);
    read(item.at("dead_experts"), to.dead_experts);
    read(item.at("load_max"), to.load_max);
    read(item.at("load_min"), to.load_min);
    read(item.at("entropy_share"), to.entropy_share);
  }
}

AnalysisLog parse(const Json& json) {
  AnalysisLog log;
  read(json.at("step"), log.step);
  read(json.at("router"), log.router);
  read(json.at("experts"), log.experts);
  read(json.at("experts_per_token"), log.experts_per_token);
  read(json.at("layers"), log.layers);
  read(json.at("notes"), log.notes);
  read(json.at("routing_tokens"), log.routing_tokens);
  read(json.at("gradient_batches"), log.gradient_batches);
  read(json.at("batch_tokens"), log.batch_tokens);
  read(json.at("router_entropy"), log.router_entropy);
  read(json.at("expert_load"), log.expert_load);
  if (!json.at("coactivation").is_null()) read(json.at("coactivation"), log.coactivation);
  // Files from before there were domains lack the field.
  if (const auto domains = json.find("domains"); domains != json.end() && !domains->is_null())
    read_domains(*domains, log);
  read_default_vectors(json, log);
  read_similarities(json.at("gradient_similarity"), log);
  read_collapse(json.at("collapse"), log);
  return log;
}

// Everything by layer, and everything by expert below it.
bool consistent(const AnalysisLog& log) {
  const size_t layers = log.layers.size(), experts = static_cast<size_t>(log.experts);
  const auto by_layer = [&](const AnalysisLog::Values& values) { return values.size() == layers; };
  const auto table = [&](const AnalysisLog::Table& rows, size_t count) {
    bool good = rows.size() == count;
    for (const auto& row : rows) good = good && row.size() == experts;
    return good;
  };
  const auto tables = [&](const AnalysisLog::Tables& all, size_t rows) {
    bool good = all.size() == layers;
    for (const auto& one : all) good = good && table(one, rows);
    return good;
  };
  bool good = by_layer(log.router_entropy) && table(log.expert_load, layers);
  if (!log.coactivation.empty()) good = good && tables(log.coactivation, experts);
  if (!log.domains.empty())
    good = good && tables(log.domain_share, log.domains.size()) && table(log.domain_mean, layers) &&
           by_layer(log.domain_distance);
  if (!log.default_source.empty()) {
    good = good && by_layer(log.mean_cosine) && tables(log.cosine, experts);
    for (const auto* one :
         {&log.default_norm, &log.chosen_error, &log.chosen_norm, &log.others_error, &log.others_norm})
      good = good && table(*one, layers);
  }
  for (const AnalysisLog::Similarity& one : log.similarities)
    good = good && by_layer(one.cosine) && by_layer(one.cosine_std) && by_layer(one.norm_ratio);
  for (const CollapsePoint& one : log.collapse)
    good = good && one.dead_experts.size() == layers && by_layer(one.load_max) && by_layer(one.load_min) &&
           by_layer(one.entropy_share);
  return good && layers > 0;
}

}  // namespace

const AnalysisLog::Similarity* AnalysisLog::find(const std::string& method, const std::string& scope,
                                                 int64_t per_token) const {
  for (const Similarity& one : similarities)
    if (one.method == method && one.scope == scope && one.experts_per_token == per_token) return &one;
  return nullptr;
}

AnalysisLog parse_analysis(const Json& json, const std::filesystem::path& file) {
  std::string why = "the numbers of layers and experts do not agree";
  try {
    if (AnalysisLog log = parse(json); consistent(log)) return log;
  } catch (const std::exception& error) {
    why = error.what();
  }
  user_error(file.string(), ": not as gptmoe analyze writes it (", why,
             "); run gptmoe analyze again or remove the file");
}

}  // namespace gptmoe
