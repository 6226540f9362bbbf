#include "analysis/default_error.h"

#include "base/statistics.h"

namespace gptmoe {

DefaultError::DefaultError(Memory& memory, const std::vector<Table>& default_vectors, int64_t experts_per_token)
    : memory_(memory), default_vectors_(default_vectors), experts_per_token_(experts_per_token) {
  for (const Table& layer : default_vectors) {
    chosen_.emplace_back(layer.size());
    others_.emplace_back(layer.size());
  }
}

void DefaultError::forward(const Routing& routing, const Tensor& rows_RC) {
  const size_t layer = next_;
  next_ = (next_ + 1) % default_vectors_.size();
  std::vector<int64_t> offsets(static_cast<size_t>(routing.offsets_E1.count()));
  std::vector<int32_t> slots(static_cast<size_t>(routing.slots_R.count()));
  memory_.download(offsets.data(), routing.offsets_E1);
  memory_.download(slots.data(), routing.slots_R);
  const int64_t K = routing.expert_ids_NK.size(1), C = rows_RC.size(1);
  for (size_t e = 0; e + 1 < offsets.size(); ++e) {
    const std::vector<double> rows = download_values(memory_, rows_RC.rows(offsets[e], offsets[e + 1] - offsets[e]));
    for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r) {
      const auto first = rows.begin() + (r - offsets[e]) * C;
      const std::vector<double> row(first, first + C);
      // A token's slots are in descending order of probability.
      const bool chosen = slots[static_cast<size_t>(r)] % K < experts_per_token_;
      Sums& sums = (chosen ? chosen_ : others_)[layer][e];
      sums.count += 1;
      sums.error += distance_between(row, default_vectors_[layer][e]);
      sums.size += norm_of(row);
    }
  }
}

ErrorMeans DefaultError::means(const LayerSums& layers) {
  ErrorMeans out;
  for (const auto& layer : layers) {
    auto& error = out.error.emplace_back();
    auto& size = out.size.emplace_back();
    for (const Sums& sums : layer) {
      error.push_back(sums.count > 0 ? sums.error / sums.count : kUnknown);
      size.push_back(sums.count > 0 ? sums.size / sums.count : kUnknown);
    }
  }
  return out;
}

}  // namespace gptmoe
