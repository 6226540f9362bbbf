// SparseMixer's draws: which experts, how often, and when they repeat.
#include <cmath>
#include <map>

#include "routing/policy_layer.h"
#include "routing/refusal.h"
#include "support/error_line.h"

namespace gptmoe {
namespace {

constexpr RouterSetup kSetup{.num_experts = 3,
                             .num_experts_per_tok = 1,
                             .hidden_size = 1,
                             .norm_topk_prob = false,
                             .aux_scale = 0,
                             .z_loss_scale = 0};

RouterSetup with_two_experts() {
  RouterSetup setup = kSetup;
  setup.num_experts_per_tok = 2;
  return setup;
}

class Layer : public PolicyLayer {
 public:
  Layer(double jitter, int64_t N, const RouterSetup& setup = kSetup, uint64_t seed = 1)
      : PolicyLayer({"sparsemixer", nlohmann::json{{"jitter", jitter}}}, setup, N, seed), tokens(N) {}

  // Routes with the same logits for every token; returns the chosen experts.
  std::vector<int32_t> choose(const std::vector<float>& logits, PassKind kind = PassKind::train) {
    std::vector<float> all;
    for (int64_t n = 0; n < tokens; ++n) all.insert(all.end(), logits.begin(), logits.end());
    route(all, kind);
    return chosen();
  }
  float gate(int64_t slot) const { return routing.gates_NK.as<float>()[slot]; }
  const int64_t tokens;
};

const std::vector<float> kLogits = {0.5f, 1.5f, 1};

std::vector<double> softmax(const std::vector<float>& logits) {
  double sum = 0;
  std::vector<double> p;
  for (float x : logits) sum += std::exp(x);
  for (float x : logits) p.push_back(std::exp(x) / sum);
  return p;
}

TEST(Sparsemixer, DrawsByTheSoftmaxAndDividesMostOfTheSmallerGatesByThree) {
  constexpr int64_t kTokens = 20000;
  Layer layer(1e6, kTokens);
  const std::vector<int32_t> ids = layer.choose(kLogits);
  const std::vector<double> p = softmax(kLogits);
  std::map<int32_t, double> count, whole;
  for (int64_t n = 0; n < kTokens; ++n) {
    const int32_t expert = ids[static_cast<size_t>(n)];
    const double share = p[static_cast<size_t>(expert)], gate = layer.gate(n);
    const bool is_whole = std::abs(gate - share) < 1e-6;
    EXPECT_TRUE(is_whole || std::abs(gate - share / 3) < 1e-6) << gate << " of " << share;
    ++count[expert];
    whole[expert] += is_whole;
  }
  for (int32_t e = 0; e < 3; ++e) {
    const double expected = p[static_cast<size_t>(e)] * kTokens;
    EXPECT_NEAR(count[e], expected, 4 * std::sqrt(expected)) << e;
    const double wholes = e == 1 ? count[e] : count[e] / 4;
    EXPECT_NEAR(whole[e], wholes, e == 1 ? 0 : 4 * std::sqrt(wholes)) << e;
  }
}

TEST(Sparsemixer, DrawsOnlyAmongScoresNearTheLargest) {
  Layer layer(0.01, 2000);
  std::map<int32_t, int> count;
  for (int32_t expert : layer.choose({1.985f, 0, 2})) ++count[expert];
  EXPECT_GT(count[0], 800);
  EXPECT_EQ(count[1], 0);
  EXPECT_GT(count[2], 800);
  for (int32_t expert : layer.choose({1.95f, 0, 2})) ++count[expert];
  EXPECT_EQ(count[0] + count[2], 4000);
  EXPECT_GT(count[2], 2800) << "1.95 is 2.5% below 2";
}

TEST(Sparsemixer, TheSecondExpertIsDrawnAmongTheOthers) {
  Layer layer(1e6, 5000, with_two_experts());
  const std::vector<int32_t> ids = layer.choose(kLogits);
  std::map<std::pair<int32_t, int32_t>, double> count;
  for (size_t n = 0; n < 5000; ++n) {
    ASSERT_NE(ids[2 * n], ids[2 * n + 1]);
    ++count[{ids[2 * n], ids[2 * n + 1]}];
  }
  const std::vector<double> p = softmax(kLogits);
  for (int32_t a = 0; a < 3; ++a)
    for (int32_t b = 0; b < 3; ++b) {
      if (a == b) continue;
      const auto first = static_cast<size_t>(a), second = static_cast<size_t>(b);
      const double expected = 5000 * p[first] * p[second] / (1 - p[first]);
      EXPECT_NEAR((count[{a, b}]), expected, 4 * std::sqrt(expected)) << a << ", " << b;
    }
}

TEST(Sparsemixer, EvaluationTakesTheLargestAndDrawsNothing) {
  Layer layer(1e6, 50, with_two_experts());
  const int64_t before = layer.state("gate.sampler").as<int64_t>()[1];
  const std::vector<int32_t> ids = layer.choose(kLogits, PassKind::evaluate);
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(ids[i], i % 2 == 0 ? 1 : 2);
  const std::vector<double> p = softmax(kLogits);
  EXPECT_NEAR(layer.gate(0), p[1], 1e-6);
  EXPECT_NEAR(layer.gate(1), p[2] / (1 - p[1]), 1e-6);
  EXPECT_EQ(layer.state("gate.sampler").as<int64_t>()[1], before);
}

TEST(Sparsemixer, DrawsAgainOnlyForNewTokens) {
  Layer layer(1e6, 200), same(1e6, 200), other_seed(1e6, 200, kSetup, 2);
  const std::vector<int32_t> first = layer.choose(kLogits);
  EXPECT_EQ(layer.choose(kLogits, PassKind::recompute), first);
  const std::vector<int32_t> second = layer.choose(kLogits);
  EXPECT_NE(second, first);
  EXPECT_EQ(layer.choose(kLogits, PassKind::recompute), second);
  EXPECT_EQ(same.choose(kLogits), first);
  EXPECT_NE(other_seed.choose(kLogits), first);
}

// A token's draw depends on its position among all tokens routed so far.
TEST(Sparsemixer, DrawsDoNotDependOnHowABatchIsSplit) {
  Layer whole(1e6, 40), parts(1e6, 10);
  const std::vector<int32_t> expected = whole.choose(kLogits);
  std::vector<int32_t> got;
  for (int part = 0; part < 4; ++part) {
    const std::vector<int32_t> ids = parts.choose(kLogits);
    got.insert(got.end(), ids.begin(), ids.end());
  }
  EXPECT_EQ(got, expected);
}

TEST(Sparsemixer, LayersDrawIndependently) {
  StateTable state;
  Arena arena("test");
  std::vector<std::unique_ptr<RoutingPolicy>> layers;
  for (const char* prefix : {"model.layers.0.mlp.", "model.layers.1.mlp."}) {
    layers.push_back(make_routing_policy({"sparsemixer", nlohmann::json::object()}, kSetup));
    layers.back()->declare_state(state, prefix, DType::f32);
  }
  state.allocate(arena);
  arena.commit();
  state.allocate(arena);
  for (const auto& layer : layers) layer->initialize_state(host_memory(), 7);
  EXPECT_NE(state.value({0}).as<int64_t>()[0], state.value({1}).as<int64_t>()[0]);
}

// Compares the whole backward with the paper's rule, in double. In every round the gate's gradient is multiplied by the
// full share, not a third of it, and flows through that round's softmax.
TEST(Sparsemixer, TheRouterGetsTheEstimateAndNothingElse) {
  constexpr int64_t kTokens = 40;
  Layer layer(1e6, kTokens, with_two_experts());
  const std::vector<int32_t> ids = layer.choose(kLogits);
  float* rows = layer.rows_RC.as<float>();
  std::vector<float> dy;
  for (int64_t r = 0; r < 2 * kTokens; ++r) rows[r] = std::sin(static_cast<float>(r));
  for (int64_t n = 0; n < kTokens; ++n) dy.push_back(std::cos(static_cast<float>(n)));
  const std::vector<double> p = softmax(kLogits);
  std::vector<double> expected;
  for (int64_t n = 0; n < kTokens; ++n) {
    double gradient[3] = {};
    const auto first = static_cast<size_t>(ids[2 * static_cast<size_t>(n)]);
    for (int64_t round = 0; round < 2; ++round) {
      const auto expert = static_cast<size_t>(ids[static_cast<size_t>(2 * n + round)]);
      const double dgate = static_cast<double>(dy[static_cast<size_t>(n)]) *
                           rows[layer.routing.positions_NK.as<int32_t>()[2 * n + round]];
      const auto share = [&](size_t e) { return round == 0 ? p[e] : e == first ? 0 : p[e] / (1 - p[first]); };
      for (size_t e = 0; e < 3; ++e) gradient[e] += dgate * share(expert) * ((e == expert ? 1 : 0) - share(e));
    }
    expected.insert(expected.end(), gradient, gradient + 3);
  }
  const std::vector<float> got = layer.backward(dy);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-6) << i;
}

TEST(Sparsemixer, GatesAreNotRenormalised) {
  expect_contains(refusal("sparsemixer", nlohmann::json::object(), renormalising_setup()),
                  "needs model.norm_topk_prob = false");
}

}  // namespace
}  // namespace gptmoe
