#pragma once
// The distance of default vectors from their experts' outputs, token by token.
#include "analysis/model_variant.h"

namespace gptmoe {

// Means over the tokens x that chose an expert, or over those that did not; kUnknown if there are no such tokens.
// E_i(x) is the output of expert i, and D_i its default vector.
struct ErrorMeans {
  Table error;  // [MoE layer][expert] |E_i(x) - D_i|
  Table size;   // [MoE layer][expert] |E_i(x)|
};

// Observes forward passes of the dense router, which runs every expert for every token. A token's chosen experts are
// the `experts_per_token` with the largest probabilities.
class DefaultError : public MoeObserver {
 public:
  DefaultError(Memory& memory, const std::vector<Table>& default_vectors, int64_t experts_per_token);

  void forward(const Routing& routing, const Tensor& rows_RC) override;

  ErrorMeans of_chosen() const { return means(chosen_); }
  ErrorMeans of_others() const { return means(others_); }

 private:
  struct Sums {
    double count = 0, error = 0, size = 0;
  };
  using LayerSums = std::vector<std::vector<Sums>>;  // [MoE layer][expert]
  static ErrorMeans means(const LayerSums& sums);

  Memory& memory_;
  const std::vector<Table>& default_vectors_;
  int64_t experts_per_token_;
  size_t next_ = 0;
  LayerSums chosen_, others_;
};

}  // namespace gptmoe
