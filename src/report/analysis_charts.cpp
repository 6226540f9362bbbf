#include "report/analysis_charts.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/check.h"
#include "report/markup.h"
#include "report/number_text.h"
#include "report/report_charts.h"

namespace gptmoe {
namespace {

constexpr size_t kMostMaps = 8;
constexpr size_t kDomainColumns = 20;  // of a domain's name beside its row

std::vector<std::string> expert_names(int64_t experts) {
  std::vector<std::string> names;
  for (int64_t e = 0; e < experts; ++e) names.push_back(text("expert ", e));
  return names;
}

std::vector<std::string> layer_names(const AnalysisLog& log) {
  std::vector<std::string> names;
  for (const int64_t layer : log.layers) names.push_back(text("layer ", layer));
  return names;
}

Heatmap expert_columns(const AnalysisLog& log, AnalysisLog::Table values) {
  Heatmap map;
  map.values = std::move(values);
  map.column_labels = expert_names(log.experts);
  map.first_column = "expert 0";
  if (log.experts > 1) map.last_column = map.column_labels.back();
  return map;
}

Heatmap layer_map(const AnalysisLog& log, AnalysisLog::Table values, const std::string& description) {
  Heatmap map = expert_columns(log, std::move(values));
  map.description = description;
  map.row_labels = layer_names(log);
  return map;
}

// Shares of assignments in units of 1/E.
AnalysisLog::Table in_fair_shares(const AnalysisLog& log, AnalysisLog::Table shares) {
  for (auto& row : shares)
    for (double& share : row) share *= static_cast<double>(log.experts);
  return shares;
}

// The largest value, but at least 0. Unknown values are left out.
double largest(const AnalysisLog::Table& values) {
  double most = 0;
  for (const auto& row : values)
    for (const double value : row) most = std::max(most, value);
  return most;
}

// Indices of at most kMostMaps layers, including the first and the last.
std::vector<size_t> shown_layers(const AnalysisLog& log) {
  const size_t layers = log.layers.size(), shown = std::min(layers, kMostMaps);
  std::vector<size_t> out;
  for (size_t i = 0; i < shown; ++i) out.push_back(shown == 1 ? 0 : i * (layers - 1) / (shown - 1));
  return out;
}

Titled<Heatmap> expert_maps(const AnalysisLog& log, const AnalysisLog::Tables& tables, const std::string& what,
                            double low, double middle) {
  Titled<Heatmap> maps;
  for (const size_t l : shown_layers(log)) {
    Heatmap map = expert_columns(log, tables[l]);
    map.row_labels = map.column_labels;
    map.low = low;
    map.middle = middle;
    map.full = 1;
    const std::string title = text("layer ", log.layers[l]);
    map.description = what + ", " + title;
    maps.emplace_back(title, std::move(map));
  }
  return maps;
}

AnalysisLog::Table ratios(const AnalysisLog::Table& above, const AnalysisLog::Table& below) {
  AnalysisLog::Table out = above;
  for (size_t l = 0; l < out.size(); ++l)
    for (size_t e = 0; e < out[l].size(); ++e) out[l][e] /= below[l][e];
  return out;
}

std::string method_name(const std::string& method) { return method == "topk" ? "TopK" : "Default"; }

std::vector<double> means_of(const std::vector<Statistics>& spreads) {
  std::vector<double> means;
  for (const Statistics& spread : spreads) means.push_back(spread.mean);
  return means;
}

Chart by_experts_per_token(const AnalysisLog& log, const std::string& scope,
                           std::vector<Statistics> AnalysisLog::Similarity::*field) {
  Chart chart;
  chart.x.title = "experts per token K";
  std::set<int64_t> tried;
  for (const AnalysisLog::Similarity& one : log.similarities) tried.insert(one.experts_per_token);
  for (const int64_t K : tried) chart.x.ticks.push_back({static_cast<double>(K), text(K)});
  int color = 0;
  for (const char* method : {"topk", "default"}) {
    Series series{method_name(method), color++, 1, {}};
    for (const AnalysisLog::Similarity& one : log.similarities) {
      if (one.method != method || one.scope != scope) continue;
      const Statistics spread = statistics_of(means_of(one.*field));
      series.points.push_back({static_cast<double>(one.experts_per_token), spread.mean, spread.min, spread.max,
                               text(series.label, ", K = ", one.experts_per_token, "\n", fixed(spread.mean, 3),
                                    " (layers ", fixed(spread.min, 3), " to ", fixed(spread.max, 3), ")")});
    }
    if (!series.points.empty()) chart.series.push_back(std::move(series));
  }
  return chart;
}

}  // namespace

Heatmap analysis_load_map(const AnalysisLog& log) {
  Heatmap map = layer_map(log, in_fair_shares(log, log.expert_load), "Expert load per layer, 1 is fair");
  map.width = 700;
  map.full = std::max(map.full, largest(map.values));
  return map;
}

Titled<Heatmap> coactivation_maps(const AnalysisLog& log) {
  const double fair = static_cast<double>(log.experts_per_token - 1) / static_cast<double>(log.experts - 1);
  return expert_maps(log, log.coactivation, "Co-activation of experts", 0, std::clamp(fair, 0.01, 0.99));
}

Titled<Heatmap> cosine_maps(const AnalysisLog& log) {
  return expert_maps(log, log.cosine, "Cosine between default vectors", -1, 0);
}

Titled<Heatmap> domain_maps(const AnalysisLog& log) {
  std::vector<std::string> names;
  for (const std::string& name : log.domains) names.push_back(shortened(name, kDomainColumns));
  names.push_back("mean");
  Titled<Heatmap> maps;
  double full = Heatmap().full;
  for (const size_t l : shown_layers(log)) {
    const std::string title = text("layer ", log.layers[l]);
    AnalysisLog::Table shares = log.domain_share[l];
    shares.push_back(log.domain_mean[l]);
    Heatmap map = expert_columns(log, in_fair_shares(log, std::move(shares)));
    map.description = "Experts by domain, " + title + ", 1 is fair";
    map.row_labels = names;
    full = std::max(full, largest(map.values));
    maps.emplace_back(title, std::move(map));
  }
  for (auto& [title, map] : maps) map.full = full;
  return maps;
}

Titled<Heatmap> default_error_maps(const AnalysisLog& log) {
  return {{"tokens that did not choose the expert",
           layer_map(log, ratios(log.others_error, log.others_norm), "Default-vector error, tokens of other experts")},
          {"tokens that chose it",
           layer_map(log, ratios(log.chosen_error, log.chosen_norm), "Default-vector error, tokens of the expert")}};
}

Chart similarity_chart(const AnalysisLog& log, const std::string& scope, const std::string& id) {
  Chart chart = by_experts_per_token(log, scope, &AnalysisLog::Similarity::cosine);
  chart.id = id;
  chart.description = "Cosine of router gradients with the dense router's against experts per token";
  chart.y.title = "cosine with the dense gradient";
  chart.y.to = 1.02;
  return chart;
}

Chart norm_ratio_chart(const AnalysisLog& log, const std::string& scope, const std::string& id) {
  Chart chart = by_experts_per_token(log, scope, &AnalysisLog::Similarity::norm_ratio);
  chart.id = id;
  chart.description = "Norm of router gradients, divided by the dense router's, against experts per token";
  chart.y.title = "norm / norm of the dense gradient (log scale)";
  chart.y.scale = Scale::log;
  chart.reference = 1;
  chart.reference_label = "equal to dense";
  return chart;
}

Titled<Heatmap> similarity_maps(const AnalysisLog& log) {
  Titled<Heatmap> maps;
  for (const char* scope : {"model", "router"})
    for (const char* method : {"topk", "default"}) {
      Heatmap map;
      map.row_labels = layer_names(log);
      map.values.resize(log.layers.size());
      map.low = -1, map.middle = 0, map.full = 1;
      for (const AnalysisLog::Similarity& one : log.similarities) {
        if (one.method != method || one.scope != scope) continue;
        for (size_t l = 0; l < log.layers.size(); ++l) map.values[l].push_back(one.cosine[l].mean);
        map.column_labels.push_back(text("K = ", one.experts_per_token));
      }
      if (map.column_labels.empty()) continue;
      map.first_column = map.column_labels.front();
      if (map.column_labels.size() > 1) map.last_column = map.column_labels.back();
      const std::string title =
          method_name(method) + (scope == std::string("model") ? ", whole model" : ", router alone");
      map.description = "Cosine with the dense gradient, " + title;
      maps.emplace_back(title, std::move(map));
    }
  return maps;
}

template <typename T>
Chart collapse_chart(const AnalysisLog& log, const std::string& id, const std::string& title,
                     std::vector<T> CollapsePoint::*field) {
  Chart chart;
  chart.id = id;
  chart.description = title + " against training tokens";
  chart.x = token_axis();
  chart.y.title = title;
  const size_t layers = log.layers.size();
  for (size_t l = 0; l < layers; ++l) {
    const double depth = layers > 1 ? static_cast<double>(l) / static_cast<double>(layers - 1) : 1;
    const bool named = layers <= 4 || l == 0 || l + 1 == layers;
    const std::string name = text("layer ", log.layers[l]);
    Series series{named ? name : "", 0, 0.3 + 0.7 * depth, {}};
    series.name = name;
    for (const CollapsePoint& point : log.collapse.evals) {
      const auto value = static_cast<double>((point.*field)[l]);
      series.points.push_back({static_cast<double>(point.tokens),
                               value,
                               0,
                               0,
                               text(name, "\n", fixed(value, std::is_integral_v<T> ? 0 : 3), "\n",
                                    tokens_text(static_cast<double>(point.tokens)), " tokens"),
                               {static_cast<double>(point.tokens), static_cast<double>(point.step)}});
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

template Chart collapse_chart(const AnalysisLog&, const std::string&, const std::string&,
                              std::vector<double> CollapsePoint::*);
template Chart collapse_chart(const AnalysisLog&, const std::string&, const std::string&,
                              std::vector<int64_t> CollapsePoint::*);

}  // namespace gptmoe
