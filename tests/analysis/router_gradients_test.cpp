#include "analysis/router_gradients.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/analysis_fixture.h"

namespace gptmoe::testing {
namespace {

TEST(MethodGradient, KeepsTheGradientsOfTheExpertsThatRan) {
  const std::vector<double> dense = {1, 2, 3, 4, 5, 6}, filled = {-1, -2, -3, -4, -5, -6};
  const std::vector<double> probs = {0.2, 0.5, 0.3, 0.7, 0.2, 0.1};
  const std::vector<int32_t> order = {1, 2, 0, 0, 1, 2};
  EXPECT_EQ(method_dprobs(dense, {}, order, probs, 3, 1, false), (std::vector<double>{0, 2, 0, 4, 0, 0}));
  EXPECT_EQ(method_dprobs(dense, {}, order, probs, 3, 2, false), (std::vector<double>{0, 2, 3, 4, 5, 0}));
  EXPECT_EQ(method_dprobs(dense, filled, order, probs, 3, 2, false), (std::vector<double>{-1, 2, 3, 4, 5, -6}));
  EXPECT_EQ(method_dprobs(dense, filled, order, probs, 3, 3, false), dense);
}

TEST(MethodGradient, OfRenormalisedGatesMatchesDifferences) {
  const std::vector<double> dense = {1, -2, 3};
  const std::vector<int32_t> order = {2, 0, 1};
  std::vector<double> probs = {0.3, 0.2, 0.5};
  const auto value = [&] { return (probs[2] * dense[2] + probs[0] * dense[0]) / (probs[2] + probs[0]); };
  const auto slope = method_dprobs(dense, {}, order, probs, 3, 2, true);
  for (size_t i = 0; i < 3; ++i) {
    const double p = probs[i];
    probs[i] = p + 1e-6;
    const double up = value();
    probs[i] = p - 1e-6;
    const double down = value();
    probs[i] = p;
    EXPECT_NEAR(slope[i], (up - down) / 2e-6, 1e-8) << i;
  }
}

// Computes dW of the router from the gradients of its probabilities, in plain loops.
std::vector<double> router_gradient(const std::vector<double>& dprobs, const std::vector<double>& probs,
                                    const std::vector<double>& x, size_t N, size_t E, size_t C) {
  std::vector<double> dw(E * C);
  for (size_t n = 0; n < N; ++n) {
    double mean = 0;
    for (size_t e = 0; e < E; ++e) mean += probs[n * E + e] * dprobs[n * E + e];
    for (size_t e = 0; e < E; ++e)
      for (size_t c = 0; c < C; ++c) dw[e * C + c] += probs[n * E + e] * (dprobs[n * E + e] - mean) * x[n * C + c];
  }
  return dw;
}

TEST(RouterScope, AgreesWithPlainLoops) {
  constexpr size_t N = 6, E = 4, C = 3;
  const auto ops = make_cpu_ops_f64();
  const std::vector<double> x = uniform_values(N * C, 1), dy = uniform_values(N * C, 2);
  const std::vector<double> known = uniform_values(N * E, 3);
  std::vector<double> probs = uniform_values(N * E, 4);
  std::vector<int32_t> order(N * E);
  for (size_t n = 0; n < N; ++n) {
    double sum = 0;
    for (size_t e = 0; e < E; ++e) sum += probs[n * E + e] = std::exp(probs[n * E + e]);
    for (size_t e = 0; e < E; ++e) probs[n * E + e] /= sum;
    const auto begin = order.begin() + static_cast<int64_t>(n * E);
    std::iota(begin, begin + E, 0);
    std::sort(begin, begin + E, [&](int32_t a, int32_t b) {
      return probs[n * E + static_cast<size_t>(a)] > probs[n * E + static_cast<size_t>(b)];
    });
  }
  std::vector<Table> defaults(2);
  for (size_t l = 0; l < 2; ++l)
    for (size_t e = 0; e < E; ++e) defaults[l].push_back(uniform_values(C, 10 * l + e + 20));

  SimilaritySeries series(2);
  RouterScope scope(*ops, N, C, E, {1, 2, 3, 4}, defaults, false, 2, series);
  Held<double> hx(x, {N, C}), hdy(dy, {N, C}), hknown(known, {N, E}), hprobs(probs, {N, E});
  Held<int32_t> horder(order, {N, E});
  const Routing routing = {.probs_NE = hprobs.tensor, .expert_ids_NK = horder.tensor};
  for (int i = 0; i < 2; ++i) scope.backward(routing, hx.tensor, hdy.tensor, hknown.tensor);

  const std::vector<double> dense = router_gradient(known, probs, x, N, E, C);
  for (size_t l = 0; l < 2; ++l)
    for (size_t K = 1; K <= E; ++K) {
      std::vector<double> topk(N * E), filled(N * E);
      for (size_t n = 0; n < N; ++n)
        for (size_t k = 0; k < E; ++k) {
          const size_t e = static_cast<size_t>(order[n * E + k]), at = n * E + e;
          for (size_t c = 0; c < C; ++c) filled[at] += dy[n * C + c] * defaults[l][e][c];
          if (k < K) topk[at] = filled[at] = known[at];
        }
      for (const auto& [method, dprobs] : {std::pair(Method::topk, topk), std::pair(Method::default_moe, filled)}) {
        const auto expected = router_gradient(dprobs, probs, x, N, E, C);
        const auto results = series.results();
        const GradientSimilarity& one = similarity(results, Scope::router, method, static_cast<int64_t>(K));
        EXPECT_NEAR(one.cosine[l].mean, cosine_of(expected, dense), 1e-12) << l << K;
        EXPECT_NEAR(one.norm_ratio[l].mean, norm_of(expected) / norm_of(dense), 1e-12) << l << K;
        EXPECT_TRUE(K == E || one.cosine[l].mean < 0.9999)
            << "the gradient equals the dense one, so this case shows nothing";
      }
    }
}

TEST(SimilaritySeries, MeansAndSpreadOverBatches) {
  SimilaritySeries series(1);
  series.add(Scope::model, Method::topk, 1, 0, {2, 0}, {1, 0});
  series.add(Scope::model, Method::topk, 1, 0, {0, 2}, {4, 0});
  series.add(Scope::model, Method::topk, 2, 0, {1, 0}, {0, 0});
  const auto results = series.results();
  ASSERT_EQ(results.size(), 2u);
  EXPECT_DOUBLE_EQ(results[0].cosine[0].mean, 0.5);
  EXPECT_DOUBLE_EQ(results[0].cosine[0].std, std::sqrt(0.5));
  EXPECT_DOUBLE_EQ(results[0].norm_ratio[0].mean, 1.25);
  EXPECT_TRUE(std::isnan(results[1].cosine[0].mean)) << "no gradient, no angle";
  EXPECT_TRUE(std::isnan(results[1].norm_ratio[0].mean));
}

// The gradient of every router's weights in a training step, with the config changed by `changes`.
Table trained_gradients(Model& from, const nlohmann::json& changes, int64_t batch) {
  nlohmann::json all = {{"model", {{"router_aux_loss_coef", 0}}}};
  all.merge_patch(changes);
  Model model(tiny_config(all));
  model.ops->copy(model.gpt().params().values(), from.gpt().params().values());
  random_batches(1).fill(model.engine, batch);
  model.gpt().forward(model.pass(PassKind::train), model.activations());
  model.gpt().loss_and_backward(model.pass(PassKind::train), model.activations(), 1.0 / 14);
  Table out;
  for (int l = 0; l < 2; ++l)
    for (const ParamRow& row : model.gpt().params().rows())
      if (row.name == text("model.layers.", l, ".mlp.gate.weight"))
        out.push_back(download_values(host_memory(), model.gpt().params().row_grad(row)));
  return out;
}

TEST(ModelScope, ComparesTheGradientsThatTrainingWouldUse) {
  Model model(tiny_config());
  const Analysis analysis = analyze_quietly(model, random_batches(2), {1, 2});
  for (const int64_t K : {1, 3})
    for (size_t l = 0; l < 2; ++l) {
      std::vector<double> cosines, ratios;
      for (int64_t batch = 0; batch < 2; ++batch) {
        const auto dense = trained_gradients(model, {{"router", {{"type", "dense"}}}}, batch)[l];
        const auto topk = trained_gradients(model, {{"model", {{"num_experts_per_tok", K}}}}, batch)[l];
        cosines.push_back(cosine_of(topk, dense));
        ratios.push_back(norm_of(topk) / norm_of(dense));
      }
      const GradientSimilarity& one = similarity(analysis.gradients, Scope::model, Method::topk, K);
      EXPECT_NEAR(one.cosine[l].mean, statistics_of(cosines).mean, 1e-5);
      EXPECT_NEAR(one.cosine[l].std, statistics_of(cosines).std, 1e-5);
      EXPECT_NEAR(one.norm_ratio[l].mean, statistics_of(ratios).mean, 1e-5);
    }
}

TEST(ModelScope, ChoosingAllExpertsEqualsDense) {
  Model model(tiny_config());
  const Batches batches = random_batches(1);
  ModelVariant all(with_router(model.config, RouterConfig{}, 5), model.engine, *model.ops);
  ModelVariant dense(with_router(model.config, {"dense", nlohmann::json::object()}, 2), model.engine, *model.ops);
  const Table a = all.router_gradients(batches, 0), b = dense.router_gradients(batches, 0);
  ASSERT_EQ(a.size(), 2u);
  EXPECT_EQ(a, b);
  EXPECT_GT(norm_of(a[0]), 0);
  EXPECT_EQ(all.router_gradients(batches, 0), a) << "gradients of the previous pass were not cleared";
}

// If all tokens are the same, every position of a layer holds the same vector, and every expert has a single output.
// With default vectors equal to these outputs, nothing is lost by leaving experts out.
TEST(BothScopes, DefaultEqualsDenseIfExpertsAreConstant) {
  Model model(tiny_config({{"router", {{"type", "default"}}}}));
  const Batches same = {1, [](Engine& engine, int64_t) {
                          random_batch(engine.batch_tokens_BT(), engine.batch_targets_BT(), 29, 0);
                          std::fill_n(engine.batch_tokens_BT().as<int32_t>(), 14, 3);
                          engine.upload_batch();
                        }};
  Model dense(tiny_config({{"router", {{"type", "dense"}}}}));
  dense.ops->copy(dense.gpt().params().values(), model.gpt().params().values());
  same.fill(dense.engine, 0);
  dense.gpt().forward(dense.pass(PassKind::evaluate), dense.activations());
  for (size_t l = 0; l < 2; ++l) {
    const MoeSaved& saved = dense.activations().blocks[l].moe;
    for (const StateRow& row : model.gpt().state().rows())
      if (row.name == text("model.layers.", l, ".mlp.default_vectors"))
        for (int64_t e = 0; e < 5; ++e)
          model.ops->copy(row.value.rows(e, 1), saved.rows_RC.rows(saved.routing.offsets_E1.as<int64_t>()[e], 1));
  }

  const Analysis analysis = analyze_quietly(model, same, {1, 1});
  for (const Scope scope : {Scope::router, Scope::model})
    for (int64_t K = 1; K < 5; ++K)
      // In the model scope, layers below the last one also lack the gradient through the experts left out.
      for (size_t l = scope == Scope::model ? 1 : 0; l < 2; ++l) {
        const auto& filled = similarity(analysis.gradients, scope, Method::default_moe, K);
        EXPECT_NEAR(filled.cosine[l].mean, 1, 1e-4) << K << l;
        EXPECT_NEAR(filled.norm_ratio[l].mean, 1, 1e-2) << K << l;
      }
  EXPECT_LT(similarity(analysis.gradients, Scope::router, Method::topk, 1).cosine[0].mean, 0.99);
  for (const ErrorMeans* means : {&analysis.chosen, &analysis.others})
    for (size_t l = 0; l < 2; ++l)
      for (size_t e = 0; e < 5; ++e) EXPECT_FALSE(means->error[l][e] > 1e-4 * means->size[l][e]);
}

}  // namespace
}  // namespace gptmoe::testing
