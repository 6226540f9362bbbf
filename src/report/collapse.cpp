#include "report/collapse.h"

#include <algorithm>
#include <cmath>

#include "base/statistics.h"

namespace gptmoe {

std::vector<CollapsePoint> collapse_of(const RunLog& run) {
  std::vector<CollapsePoint> points;
  for (const EvalRow& row : run.evals) {
    if (row.expert_load.empty()) continue;
    CollapsePoint& point = points.emplace_back();
    point.step = row.step;
    point.tokens = row.tokens;
    for (size_t layer = 0; layer < row.expert_load.size(); ++layer) {
      const std::vector<double> load = relative_load(row.expert_load[layer]);
      point.dead_experts.push_back(dead_experts(row.expert_load[layer]));
      point.load_max.push_back(load.empty() ? kUnknown : *std::max_element(load.begin(), load.end()));
      point.load_min.push_back(load.empty() ? kUnknown : *std::min_element(load.begin(), load.end()));
      const bool known = layer < row.router_entropy.size() && load.size() > 1;
      const auto experts = static_cast<double>(load.size());
      point.entropy_share.push_back(known ? row.router_entropy[layer] / std::log(experts) : kUnknown);
    }
  }
  return points;
}

}  // namespace gptmoe
