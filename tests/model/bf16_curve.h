#pragma once
// What training in bf16 may cost: nothing that a curve shows.
#include <gtest/gtest.h>

#include <functional>

#include "support/model_fixture.h"

namespace gptmoe::testing {

// The losses of 200 steps over the same 24 batches again and again, each the mean of ten steps: a curve that falls.
inline std::vector<double> loss_curve(const Config& config, std::unique_ptr<Ops> ops) {
  Model model(config, std::move(ops));
  std::vector<double> curve(20);
  for (int64_t s = 0; s < 200; ++s) {
    model.next_index = static_cast<uint64_t>(s % 24);
    curve[static_cast<size_t>(s / 10)] += model.step(s).loss / 10;
  }
  return curve;
}

// By either router, on ops that multiply in bf16. The fewer sequences a batch has, the more of a curve is chance: with
// 4 a learning rate changed by 1e-4 of itself moves it by up to 1 % too, with 16 by a third of that.
inline void expect_curves_within_one_percent_of_f32(const std::function<std::unique_ptr<Ops>()>& make_bf16_ops,
                                                    int sequences, double learned) {
  for (const char* router : {"topk", "default"}) {
    const Config config = tiny_config({{"router", {{"type", router}}},
                                       {"model", {{"initializer_range", 0.1}}},
                                       {"train", {{"steps", 200}, {"micro_batch_size", sequences}}},
                                       {"schedule", {{"warmup_steps", 20}}}});
    const std::vector<double> expected =
        loss_curve(config, make_cpu_ops(1));  // tiny models have no use for more threads
    const std::vector<double> got = loss_curve(config, make_bf16_ops());
    EXPECT_LT(expected.back(), learned * expected.front()) << "nothing was learned";
    EXPECT_NE(got, expected) << "nothing was rounded";
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(got[i], expected[i], 0.01 * expected[i]) << router << ", steps from " << 10 * i + 1;
  }
}

}  // namespace gptmoe::testing
