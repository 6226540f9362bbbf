#pragma once
// Checks that training in bf16 gives the same loss curve as in f32.
#include <gtest/gtest.h>

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

}  // namespace gptmoe::testing
