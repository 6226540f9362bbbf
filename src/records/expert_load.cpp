#include "records/expert_load.h"

#include <algorithm>
#include <numeric>

namespace gptmoe {

std::vector<double> relative_load(const std::vector<double>& shares) {
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  std::vector<double> load = shares;
  for (double& share : load) share = sum > 0 ? share * static_cast<double>(load.size()) / sum : 0;
  return load;
}

int64_t dead_experts(const std::vector<double>& shares) {
  const std::vector<double> load = relative_load(shares);
  return std::count_if(load.begin(), load.end(), [](double share) { return share < kDeadShare; });
}

}  // namespace gptmoe
