#pragma once
// Checks that training in bf16 gives the same loss curve as in f32.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "support/model_fixture.h"

namespace gptmoe::testing {

// Trains 200 steps, cycling through 24 batches. Returns the mean loss of every ten steps.
inline std::vector<double> loss_curve(const Config& config, std::unique_ptr<Ops> ops) {
  Model model(config, std::move(ops));
  std::vector<double> curve(20);
  for (int64_t s = 0; s < 200; ++s) {
    model.next_index = static_cast<uint64_t>(s % 24);
    curve[static_cast<size_t>(s / 10)] += model.step(s).loss / 10;
  }
  return curve;
}

// Runs both routers on ops that multiply in bf16. Every token goes to all experts: if rounding changed the choice of
// experts, the curves would drift apart in any precision.
inline void expect_curves_within_one_percent_of_f32(const std::function<std::unique_ptr<Ops>()>& make_bf16_ops,
                                                    int sequences, double learned) {
  for (const char* router : {"topk", "default"}) {
    const Config config =
        tiny_config({{"router", {{"type", router}}},
                     {"model", {{"initializer_range", 0.1}, {"num_experts", 3}, {"num_experts_per_tok", 3}}},
                     {"train", {{"steps", 200}, {"micro_batch_size", sequences}}},
                     {"schedule", {{"warmup_steps", 20}}}});
    const std::vector<double> expected =
        loss_curve(config, make_cpu_ops(1));  // tiny models gain nothing from more threads
    const std::vector<double> got = loss_curve(config, make_bf16_ops());
    EXPECT_LT(expected.back(), learned * expected.front()) << "nothing was learned";
    EXPECT_NE(got, expected) << "nothing was rounded";
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(got[i], expected[i], 0.01 * expected[i]) << router << ", steps from " << 10 * i + 1;
  }
}

// The Default router with one of eight experts per token, on ops that multiply in bf16. The router, and all parameters
// that it reads, keep their values (their learning rate is next to 0). Rounding then changes the experts of only a few
// tokens, and later steps do not add to them. The vectors of the other seven experts matter: without them, as with
// TopK, the curve is well outside the tolerance.
inline void expect_default_curve_close_to_f32(const std::function<std::unique_ptr<Ops>()>& make_bf16_ops) {
  const auto config = [](const nlohmann::json& router) {
    nlohmann::json groups;
    for (const char* kept : {"*.mlp.gate.weight", "model.embed_tokens.weight", "*.self_attn.*", "*layernorm.weight"})
      groups.push_back({{"match", kept}, {"learning_rate_scale", 1e-6}});
    return tiny_config(
        {{"router", router},
         {"model",
          {{"initializer_range", 0.6}, {"num_experts", 8}, {"num_experts_per_tok", 1}, {"num_hidden_layers", 1}}},
         {"optimizer", {{"groups", groups}}},
         {"train", {{"steps", 200}, {"micro_batch_size", 16}}},
         {"schedule", {{"warmup_steps", 20}}}});
  };
  const Config of_default = config({{"type", "default"}, {"ema_weighting", "uniform"}});
  const std::vector<double> expected = loss_curve(of_default, make_cpu_ops(1));
  const std::vector<double> without_vectors = loss_curve(config({{"type", "topk"}}), make_cpu_ops(1));
  const std::vector<double> got = loss_curve(of_default, make_bf16_ops());
  EXPECT_LT(expected.back(), 0.7 * expected.front()) << "nothing was learned";
  EXPECT_NE(got, expected) << "nothing was rounded";
  double furthest = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(got[i], expected[i], 0.002 * expected[i]) << "steps from " << 10 * i + 1;
    furthest = std::max(furthest, std::abs(without_vectors[i] / expected[i] - 1));
  }
  EXPECT_GT(furthest, 0.006) << "the vectors hardly matter";
}

}  // namespace gptmoe::testing
