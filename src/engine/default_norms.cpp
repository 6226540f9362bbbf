#include "engine/default_norms.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace gptmoe {

std::vector<Tensor> default_vectors(const StateTable& state) {
  std::vector<Tensor> layers_EC;
  for (const StateRow& row : state.rows())
    if (row.name.ends_with(".mlp.default_vectors")) layers_EC.push_back(row.value);
  return layers_EC;
}

DefaultNorms::DefaultNorms(const StateTable& state, Memory& memory) : layers_EC_(default_vectors(state)) {
  for (const Tensor& vectors_EC : layers_EC_) copies_.push_back(memory.make_snapshot(vectors_EC.bytes()));
}

void DefaultNorms::take() {
  for (size_t layer = 0; layer < copies_.size(); ++layer) copies_[layer]->take(layers_EC_[layer]);
  taken_ = true;
}

std::optional<VectorNorms> DefaultNorms::norms() {
  if (copies_.empty() || !std::exchange(taken_, false)) return std::nullopt;
  VectorNorms norms;
  int64_t vectors = 0;
  for (size_t layer = 0; layer < copies_.size(); ++layer) {
    const std::vector<double> values = copies_[layer]->values();
    const int64_t E = layers_EC_[layer].size(0), C = layers_EC_[layer].size(1);
    for (int64_t e = 0; e < E; ++e) {
      double squares = 0;
      for (int64_t c = 0; c < C; ++c)
        squares += values[static_cast<size_t>(e * C + c)] * values[static_cast<size_t>(e * C + c)];
      const double norm = std::sqrt(squares);
      norms.mean += norm;
      norms.max = std::max(norms.max, norm);
    }
    vectors += E;
  }
  norms.mean /= static_cast<double>(vectors);
  return norms;
}

}  // namespace gptmoe
