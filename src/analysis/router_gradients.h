#pragma once
// How close the router gradients of TopK and Default MoE come to the dense router's gradient. With the dense router,
// every expert runs on every token. docs/analysis.md says what each scope keeps equal.
#include <map>

#include "analysis/model_variant.h"
#include "base/statistics.h"

namespace gptmoe {

enum class Method { topk, default_moe };
enum class Scope {
  router,  // the forward, and the gradient that reaches the layer's output, are the dense router's
  model,   // the whole model uses the method, forward and backward
};

struct GradientSimilarity {
  Method method;
  Scope scope;
  int64_t experts_per_token;           // K
  std::vector<Statistics> cosine;      // [MoE layer], over batches
  std::vector<Statistics> norm_ratio;  // [MoE layer] norm divided by the dense gradient's
};

// Collects the comparisons of single batches.
class SimilaritySeries {
 public:
  // `mixtures` is the number of MoE layers.
  explicit SimilaritySeries(size_t mixtures) : mixtures_(mixtures) {}
  void add(Scope scope, Method method, int64_t K, size_t layer, const std::vector<double>& gradient,
           const std::vector<double>& dense);
  // All results, ordered by scope, then method, then K.
  std::vector<GradientSimilarity> results() const;

 private:
  struct Values {
    std::vector<double> cosine, norm_ratio;
  };
  size_t mixtures_;
  std::map<std::tuple<Scope, Method, int64_t>, std::vector<Values>> values_;
};

// Measures Scope::router in backward passes of the dense router. The gradient of expert i's probability is
// dL/dp_i = <dy, E_i(x)>, where E_i(x) is the expert's output for the token x. Both methods use it for the experts that
// the token chose. For the others, TopK uses 0, and Default uses <dy, D_i> with the default vector D_i. The backward of
// the softmax and of the linear layer follows as usual.
class RouterScope : public MoeObserver {
 public:
  // Without default vectors only TopK is measured. With `normalize`, TopK's gates are divided by their sum. `mixtures`
  // is the number of MoE layers.
  RouterScope(Ops& ops, int64_t N, int64_t C, int64_t E, std::vector<int64_t> Ks,
              const std::vector<Table>& default_vectors, bool normalize, size_t mixtures, SimilaritySeries& series);

  void backward(const Routing& routing, const Tensor& x_NC, const Tensor& dy_NC, const Tensor& dprobs_NE) override;

 private:
  void lay_out(int64_t N, int64_t C, int64_t E);
  std::vector<double> router_gradient(const Routing& routing, const Tensor& x_NC, const std::vector<double>& dprobs_NE);

  Ops& ops_;
  std::vector<int64_t> Ks_;
  const std::vector<Table>& default_vectors_;
  bool normalize_;
  size_t mixtures_, next_;
  SimilaritySeries& series_;
  Arena arena_{"analysis"};
  Tensor dprobs_NE_, dlogits_NE_, w_EC_, dw_EC_, dx_NC_;
};

// A method's gradient of the probabilities, dL/dp, computed from the dense router's. The experts with a token's K
// largest probabilities keep the dense values; the others get the values of `filled_NE`, which come from default
// vectors (empty: all zero). expert_ids_NE are in descending order of probability. `normalize`: the gates are divided
// by their sum.
std::vector<double> method_dprobs(const std::vector<double>& dense_NE, const std::vector<double>& filled_NE,
                                  const std::vector<int32_t>& expert_ids_NE, const std::vector<double>& probs_NE,
                                  size_t E, size_t K, bool normalize);

}  // namespace gptmoe
