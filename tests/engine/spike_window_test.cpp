#include "engine/spike_window.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "support/model_fixture.h"
#include "support/router_cases.h"

namespace gptmoe::testing {
namespace {

TrainConfig settings(double deviations, int64_t window) {
  TrainConfig config;
  config.skip_spikes = deviations;
  config.skip_spikes_window = window;
  return config;
}

TEST(SpikeWindow, SkipsALossOrANormFarAboveTheMean) {
  SpikeWindow window(settings(3, 8));
  for (const double loss : {2.0, 4.0, 2.0, 4.0}) EXPECT_FALSE(window.skips(loss, loss / 2));
  // The losses have mean 3 and sample standard deviation 2 / sqrt(3); the norms have half of each.
  SpikeWindow other = window;
  EXPECT_FALSE(window.skips(3 + 6 / std::sqrt(3.0) - 0.01, 1));
  EXPECT_TRUE(other.skips(3 + 6 / std::sqrt(3.0) + 0.01, 1));
  EXPECT_EQ(other.record().skipped, 1);
  other = SpikeWindow(settings(3, 8));
  for (const double norm : {1.0, 2.0, 1.0, 2.0}) EXPECT_FALSE(other.skips(-100, norm));
  EXPECT_TRUE(other.skips(-100, 50)) << "only the norm is an outlier";
}

TEST(SpikeWindow, JudgesNoStepBeforeItIsHalfFull) {
  SpikeWindow window(settings(1, 6));
  EXPECT_FALSE(window.skips(1, 1));
  EXPECT_FALSE(window.skips(1.1, 1));
  EXPECT_FALSE(window.skips(100, 100)) << "the window holds two of six steps";
}

TEST(SpikeWindow, AcceptsAChangeThatLasts) {
  SpikeWindow window(settings(3, 8));
  for (int i = 0; i < 8; ++i) window.skips(i % 2, 1 + 0.1 * (i % 2));
  int64_t skipped = 0;
  for (int i = 0; i < 20; ++i) skipped += window.skips(100 + i % 2, 1 + 0.1 * (i % 2));
  EXPECT_GE(skipped, 1);
  EXPECT_LE(skipped, 8);
  EXPECT_EQ(window.record().losses.size(), 8u);
}

TEST(SpikeWindow, DoesNotLearnFromNumbersThatAreNotFinite) {
  SpikeWindow window(settings(3, 4));
  for (int i = 0; i < 4; ++i) window.skips(i % 2, i % 2);
  const SpikeRecord before = window.record();
  EXPECT_FALSE(window.skips(INFINITY, 1));
  EXPECT_FALSE(window.skips(1, NAN));
  EXPECT_EQ(window.record(), before);
}

TEST(SpikeWindow, ContinuesFromALongerWindow) {
  SpikeWindow window(settings(3, 4));
  window.restore({{1, 2, 3, 4, 5, 6}, {6, 5, 4, 3, 2, 1}, 7});
  EXPECT_EQ(window.record(), (SpikeRecord{{3, 4, 5, 6}, {4, 3, 2, 1}, 7}));
}

// Every bit that later steps depend on.
std::vector<std::vector<char>> bits_of(Model& model) {
  std::vector<Tensor> tensors = {model.gpt().params().values(), model.engine.optimizer().m().values(),
                                 model.engine.optimizer().v().values()};
  for (const StateRow& row : model.gpt().state().rows()) tensors.push_back(row.value);
  std::vector<std::vector<char>> bits;
  for (const Tensor& tensor : tensors) {
    const char* data = static_cast<const char*>(tensor.data());
    bits.emplace_back(data, data + tensor.bytes());
  }
  return bits;
}

NextBatch all(int32_t token, int32_t target) {
  return [=](const Tensor& tokens, const Tensor& targets) {
    std::fill_n(tokens.as<int32_t>(), tokens.count(), token);
    std::fill_n(targets.as<int32_t>(), targets.count(), target);
  };
}

class SkippedStep : public ::testing::TestWithParam<RouterCase> {};

// A model that skips a step equals a model that never saw it.
TEST_P(SkippedStep, ChangesNothing) {
  omp_set_num_threads(1);
  nlohmann::json changes = GetParam().changes();
  changes["train"] = {{"skip_spikes", 6}, {"skip_spikes_window", 8}, {"global_batch_size", 4}};
  const Config config = tiny_config(changes);
  Model model(config), other(config);
  for (Model* each : {&model, &other})
    for (int64_t s = 0; s < 20; ++s) ASSERT_FALSE(each->step(s, all(s % 2 ? 3 : 4, 0)).skipped) << s;
  const auto before = bits_of(model);
  const StepResult skipped = model.step(20, all(7, 11));
  EXPECT_TRUE(skipped.skipped);
  EXPECT_TRUE(skipped.finite());
  EXPECT_EQ(bits_of(model), before);
  for (Model* each : {&model, &other}) each->steps->spikes()->restore({});
  for (Model* each : {&model, &other}) EXPECT_FALSE(each->step(21, all(3, 0)).skipped);
  EXPECT_EQ(bits_of(model), bits_of(other));
  EXPECT_NE(bits_of(model), before);
}

INSTANTIATE_TEST_SUITE_P(Routers, SkippedStep, ::testing::ValuesIn(router_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptmoe::testing
