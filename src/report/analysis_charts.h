#pragma once
// The charts of an analysis. `id` makes a chart's own ids unique in the page.
#include <utility>

#include "records/analysis_log.h"
#include "report/svg_chart.h"
#include "report/svg_heatmap.h"

namespace gptmoe {

// A title and the chart below it.
template <typename Picture>
using Titled = std::vector<std::pair<std::string, Picture>>;

// An expert's load, multiplied by E (1 = fair), by layer and expert.
Heatmap analysis_load_map(const AnalysisLog& log);
// One map of experts by experts for each of at most eight layers, including the first and the last.
Titled<Heatmap> coactivation_maps(const AnalysisLog& log);
Titled<Heatmap> cosine_maps(const AnalysisLog& log);
// An expert's share of a domain's assignments, multiplied by E (1 = fair), by domain and expert, for the layers that
// coactivation_maps() shows. The last row is the mean over domains. All maps use one scale.
Titled<Heatmap> domain_maps(const AnalysisLog& log);
// By layer and expert: mean error divided by the mean norm of the expert's output, for the tokens that chose the expert
// and for the others.
Titled<Heatmap> default_error_maps(const AnalysisLog& log);

// Cosine and relative norm against K: means over layers, with a band from the lowest layer to the highest.
Chart similarity_chart(const AnalysisLog& log, const std::string& scope, const std::string& id);
Chart norm_ratio_chart(const AnalysisLog& log, const std::string& scope, const std::string& id);
// Cosine by layer and K, for each method in each scope.
Titled<Heatmap> similarity_maps(const AnalysisLog& log);

// One field of the collapse points against tokens, one line per layer.
template <typename T>
Chart collapse_chart(const AnalysisLog& log, const std::string& id, const std::string& title,
                     std::vector<T> CollapsePoint::*field);

}  // namespace gptmoe
