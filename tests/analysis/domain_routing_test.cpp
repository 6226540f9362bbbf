#include "analysis/domain_routing.h"

#include <gtest/gtest.h>

#include <numeric>

#include "analysis/analysis_fixture.h"
#include "routing/router_table.h"

namespace gptmoe::testing {
namespace {

// Two of the random batches: `first` and `first` + 1.
Domain two_batches(const std::string& name, int64_t first) {
  const Batches all = random_batches(first + 2);
  return {name, name + ".bin", {2, [all, first](Engine& engine, int64_t b) { all.fill(engine, first + b); }}};
}

TEST(CompareDomains, GivesTheSharesAndTheDistanceOfAHandMadeRouting) {
  RoutingCounts first(host_memory(), 1, 3), second(host_memory(), 1, 3);
  // The first domain has three tokens that choose {0, 1}, {1, 0}, and {2} with a dead slot (id -1). The second has two
  // tokens that choose {0, 2} and {2, 1}; the last slot has gate 0.
  first.add(0, {0, 1, 1, 0, 2, -1}, {0.6, 0.4, 0.5, 0.5, 0.9, 0}, 2);
  second.add(0, {0, 2, 2, 1}, {0.6, 0.4, 0.7, 0}, 2);
  const DomainShares shares = compare_domains({first.load(0), second.load(0)});
  EXPECT_EQ(shares.share, (Table{{0.4, 0.4, 0.2}, {1.0 / 3, 0, 2.0 / 3}}));
  EXPECT_DOUBLE_EQ(shares.mean[0], (0.4 + 1.0 / 3) / 2);
  EXPECT_DOUBLE_EQ(shares.mean[1], 0.2);
  EXPECT_DOUBLE_EQ(shares.mean[2], (0.2 + 2.0 / 3) / 2);
  // In the first domain, experts 0 and 1 exceed their mean shares by 1/30 and 0.2.
  EXPECT_DOUBLE_EQ(shares.distance, 1.0 / 30 + 0.2);
}

TEST(CompareDomains, DistanceGrowsFromEqualToDisjointDomains) {
  EXPECT_EQ(compare_domains({{0.25, 0.75}}).distance, 0);
  EXPECT_EQ(compare_domains({{0.25, 0.75}, {0.25, 0.75}}).distance, 0);
  EXPECT_DOUBLE_EQ(compare_domains({{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}).distance, 2.0 / 3);
  EXPECT_DOUBLE_EQ(compare_domains({{1, 0}, {1, 0}, {1, 0}, {0, 1}}).distance, (3 * 0.25 + 0.75) / 4);
}

TEST(ProfileDomains, GivesEachDomainItsOwnLoadsWithEveryRouter) {
  for (const std::string& router : router_names()) {
    Model model(tiny_config(
        {{"router", {{"type", router}}}, {"model", {{"first_k_dense_replace", 1}, {"router_aux_loss_coef", 0}}}}));
    for (int64_t s = 0; s < 2; ++s) model.step(s);
    int64_t passes = 0;
    const std::vector<Domain> domains = {two_batches("a", 0), two_batches("again", 0), two_batches("b", 2)};
    const DomainRouting routing = profile_domains(model.engine, *model.ops, domains, [&] { ++passes; });
    EXPECT_EQ(passes, 6);
    EXPECT_EQ(routing.names, (std::vector<std::string>{"a", "again", "b"}));
    EXPECT_EQ(routing.shards[2], "b.bin");
    EXPECT_EQ(routing.tokens, 2 * model.activations().tokens_BT.count());
    ASSERT_EQ(routing.layers.size(), 1u) << "the first layer is dense";
    const DomainShares& layer = routing.layers[0];
    for (size_t d = 0; d < 3; ++d) {
      const auto alone = profile_routing(model.engine, *model.ops, domains[d].batches, 2, [] {});
      EXPECT_EQ(layer.share[d], alone[0].load) << router;
      EXPECT_NEAR(std::accumulate(layer.share[d].begin(), layer.share[d].end(), 0.0), 1, 1e-12) << router;
    }
    EXPECT_EQ(layer.share[0], layer.share[1]) << router;
    const bool all_run = router == "dense";
    EXPECT_EQ(layer.share[0] == layer.share[2], all_run) << router;
    EXPECT_EQ(layer.distance < 1e-12, all_run) << router;
  }
}

TEST(ProfileDomains, WithoutDomainsMeasuresNothing) {
  Model model(tiny_config());
  EXPECT_TRUE(profile_domains(model.engine, *model.ops, {}, [] { FAIL(); }).layers.empty());
}

}  // namespace
}  // namespace gptmoe::testing
