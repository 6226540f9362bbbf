#include "analysis/routing_profile.h"

#include <gtest/gtest.h>

#include <cmath>

#include "analysis/analysis_fixture.h"

namespace gptmoe::testing {
namespace {

TEST(RoutingCounts, LoadAndCoactivationOfAHandMadeRouting) {
  RoutingCounts counts(host_memory(), 2, 4);
  // Four tokens choose two experts each: {0, 1}, {1, 0}, {0, 2} and {2, 3}; the gate of expert 3 is 0.
  counts.add(1, {0, 1, 1, 0, 0, 2, 2, 3}, {0.6, 0.4, 0.5, 0.5, 0.9, 0.1, 1, 0}, 2);
  EXPECT_EQ(counts.load(1), (std::vector<double>{3.0 / 7, 2.0 / 7, 2.0 / 7, 0}));
  const Table together = counts.coactivation(1);
  EXPECT_EQ(together[0], (std::vector<double>{1, 2.0 / 3, 1.0 / 3, 0}));
  EXPECT_EQ(together[1], (std::vector<double>{1, 1, 0, 0}));
  EXPECT_EQ(together[2], (std::vector<double>{0.5, 0, 1, 0}));
  for (const double share : together[3]) EXPECT_TRUE(std::isnan(share));
}

TEST(RoutingProfile, AgreesWithTheActivationsOfEachBatch) {
  for (const char* recompute : {"none", "block"}) {
    Model model(tiny_config({{"train", {{"recompute", recompute}}}}));
    constexpr int64_t kBatches = 3;
    const Batches batches = random_batches(kBatches);
    int64_t passes = 0;
    const auto layers = profile_routing(model.engine, *model.ops, batches, kBatches, [&] { ++passes; });
    EXPECT_EQ(passes, kBatches);
    ASSERT_EQ(layers.size(), 2u);

    // The expected values, from a model that keeps the activations of every layer.
    Model kept(tiny_config());
    Table load(2, std::vector<double>(5));
    std::vector<double> entropy(2);
    for (int64_t batch = 0; batch < kBatches; ++batch) {
      batches.fill(kept.engine, batch);
      kept.gpt().forward(kept.pass(PassKind::evaluate), kept.activations());
      for (size_t l = 0; l < 2; ++l) {
        const Routing& routing = kept.activations().blocks[l].moe.routing;
        const int64_t N = routing.probs_NE.size(0), R = routing.slots_R.size(0);
        for (int64_t r = 0; r < R; ++r)
          load[l][static_cast<size_t>(routing.expert_ids_NK.as<int32_t>()[r])] +=
              1.0 / static_cast<double>(R * kBatches);
        for (int64_t i = 0; i < routing.probs_NE.count(); ++i) {
          const double p = host_value(routing.probs_NE, i);
          entropy[l] -= p * std::log(p) / static_cast<double>(N * kBatches);
        }
      }
    }
    for (size_t l = 0; l < 2; ++l) {
      EXPECT_NEAR(layers[l].entropy, entropy[l], 1e-5);
      for (size_t e = 0; e < 5; ++e) EXPECT_NEAR(layers[l].load[e], load[l][e], 1e-12) << recompute << l << e;
    }
  }
}

TEST(RoutingProfile, EveryPairOfExpertsIsCoactiveIfAllRun) {
  Model model(tiny_config({{"router", {{"type", "dense"}}}}));
  for (const LayerProfile& layer : profile_routing(model.engine, *model.ops, random_batches(1), 1, [] {}))
    for (size_t i = 0; i < 5; ++i) {
      EXPECT_DOUBLE_EQ(layer.load[i], 0.2);
      EXPECT_EQ(layer.coactivation[i], std::vector<double>(5, 1.0));
    }
}

}  // namespace
}  // namespace gptmoe::testing
