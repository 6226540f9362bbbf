#include "analysis/router_gradients.h"

namespace gptmoe {

void SimilaritySeries::add(Scope scope, Method method, int64_t K, size_t layer, const std::vector<double>& gradient,
                           const std::vector<double>& dense) {
  auto& layers = values_[{scope, method, K}];
  layers.resize(mixtures_);
  const double size = norm_of(dense);
  layers.at(layer).cosine.push_back(cosine_of(gradient, dense));
  layers[layer].norm_ratio.push_back(size > 0 ? norm_of(gradient) / size : kUnknown);
}

std::vector<GradientSimilarity> SimilaritySeries::results() const {
  std::vector<GradientSimilarity> results;
  for (const auto& [key, layers] : values_) {
    const auto& [scope, method, K] = key;
    GradientSimilarity& result = results.emplace_back(GradientSimilarity{method, scope, K, {}, {}});
    for (const Values& layer : layers) {
      result.cosine.push_back(statistics_of(layer.cosine));
      result.norm_ratio.push_back(statistics_of(layer.norm_ratio));
    }
  }
  return results;
}

std::vector<double> method_dprobs(const std::vector<double>& dense_NE, const std::vector<double>& filled_NE,
                                  const std::vector<int32_t>& expert_ids_NE, const std::vector<double>& probs_NE,
                                  size_t E, size_t K, bool normalize) {
  std::vector<double> dprobs = filled_NE.empty() ? std::vector<double>(dense_NE.size()) : filled_NE;
  for (size_t first = 0; first < dense_NE.size(); first += E) {
    const auto chosen = [&](size_t k) { return first + static_cast<size_t>(expert_ids_NE[first + k]); };
    double sum = 1, shift = 0;
    if (normalize) {
      sum = 0;
      for (size_t k = 0; k < K; ++k) sum += probs_NE[chosen(k)];
      for (size_t k = 0; k < K; ++k) shift += dense_NE[chosen(k)] * probs_NE[chosen(k)] / sum;
    }
    for (size_t k = 0; k < K; ++k) dprobs[chosen(k)] = (dense_NE[chosen(k)] - shift) / sum;
  }
  return dprobs;
}

RouterScope::RouterScope(Ops& ops, int64_t N, int64_t C, int64_t E, std::vector<int64_t> Ks,
                         const std::vector<Table>& default_vectors, bool normalize, size_t mixtures,
                         SimilaritySeries& series)
    : ops_(ops),
      Ks_(std::move(Ks)),
      default_vectors_(default_vectors),
      normalize_(normalize),
      mixtures_(mixtures),
      next_(mixtures),
      series_(series) {
  lay_out(N, C, E);
  arena_.commit(ops.memory());
  lay_out(N, C, E);
}

void RouterScope::lay_out(int64_t N, int64_t C, int64_t E) {
  const DType stat = ops_.statistics_dtype();
  dprobs_NE_ = arena_.allocate(stat, {N, E});
  dlogits_NE_ = arena_.allocate(stat, {N, E});
  w_EC_ = arena_.allocate(stat, {E, C});
  dw_EC_ = arena_.allocate(stat, {E, C});
  dx_NC_ = arena_.allocate(ops_.compute_dtype(), {N, C});
}

void RouterScope::backward(const Routing& routing, const Tensor& x_NC, const Tensor& dy_NC, const Tensor& dprobs_NE) {
  const size_t layer = --next_;
  if (next_ == 0) next_ = mixtures_;
  Memory& memory = ops_.memory();
  const std::vector<double> known = download_values(memory, dprobs_NE),
                            probs = download_values(memory, routing.probs_NE);
  std::vector<int32_t> expert_ids(static_cast<size_t>(routing.expert_ids_NK.count()));
  memory.download(expert_ids.data(), routing.expert_ids_NK);
  const auto E = static_cast<size_t>(dprobs_NE.size(1));
  GPTMOE_CHECK(expert_ids.size() == known.size(), "not the dense router");

  std::vector<double> from_defaults;
  if (!default_vectors_.empty()) {
    std::vector<double> flat;
    for (const auto& row : default_vectors_[layer]) flat.insert(flat.end(), row.begin(), row.end());
    upload_values(memory, w_EC_, flat.data());
    ops_.router_linear_forward(dprobs_NE_, dy_NC, w_EC_);  // <dy, D_i>
    from_defaults = download_values(memory, dprobs_NE_);
  }
  const std::vector<double> dense = router_gradient(routing, x_NC, known);
  for (const int64_t K : Ks_) {
    const auto compare = [&](Method method, const std::vector<double>& filled) {
      const auto dprobs = method_dprobs(known, filled, expert_ids, probs, E, static_cast<size_t>(K), normalize_);
      series_.add(Scope::router, method, K, layer, router_gradient(routing, x_NC, dprobs), dense);
    };
    compare(Method::topk, {});
    if (!from_defaults.empty()) compare(Method::default_moe, from_defaults);
  }
}

// The op uses w_EC_ only for the input's gradient, which nothing reads here.
std::vector<double> RouterScope::router_gradient(const Routing& routing, const Tensor& x_NC,
                                                 const std::vector<double>& dprobs_NE) {
  upload_values(ops_.memory(), dprobs_NE_, dprobs_NE.data());
  ops_.router_softmax_backward(dlogits_NE_, dprobs_NE_, routing.probs_NE);
  ops_.zero(dw_EC_);
  ops_.router_linear_backward(dx_NC_, dw_EC_, dlogits_NE_, x_NC, w_EC_, Write::assign);
  return download_values(ops_.memory(), dw_EC_);
}

}  // namespace gptmoe
