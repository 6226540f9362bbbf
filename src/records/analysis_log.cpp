#include "records/analysis_log.h"

#include "base/seal.h"
#include "records/record_json.h"

namespace gptmoe {
namespace {

constexpr const char* kRemedy = "run gptmoe analyze again or remove the file";

// Whether all lists by layer and, inside them, by expert have the right lengths.
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
    good = good && one.cosine.size() == layers && one.norm_ratio.size() == layers;
  for (const CollapsePoint& one : log.collapse.evals)
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

AnalysisLog read_analysis(const std::filesystem::path& file) {
  const std::string content = read_text_file(file);  // its errors do not advise to remove the file
  const auto json =
      with_remedy(kRemedy, [&] { return parse_sealed_json<nlohmann::ordered_json>(content, file.string()); });
  return parse_analysis(json, file);
}

AnalysisLog parse_analysis(const nlohmann::ordered_json& json, const std::filesystem::path& file) {
  return with_remedy(kRemedy, [&] {
    const AnalysisLog log = read_record<AnalysisLog>(json, file.string());
    if (!consistent(log)) user_error(file.string(), ": the numbers of layers and experts do not agree");
    return log;
  });
}

}  // namespace gptmoe
