#include "report/paired_gap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "report/comparison.h"
#include "report/made_runs.h"
#include "report/number_text.h"

namespace gptmoe {
namespace {

PairedGap final_gap(const Comparison& comparison) { return comparison.arms[1].matched_gap; }

// An arm with one run per difference, seeds 1, 2, ...; a run ends at perplexity 50 e^difference.
Arm ends_at(const std::string& label, const std::vector<double>& differences) {
  Arm arm{label, {}};
  for (const double difference : differences)
    arm.runs.push_back(run_of({80, 50 * std::exp(difference)}, 2, std::ssize(arm.runs) + 1));
  return arm;
}

TEST(PairedGap, MeanAndIntervalOfDifferencesOfTheLoss) {
  // Differences 0.01, 0.02, 0.03: mean 0.02, standard error 0.01 / sqrt(3), t = 2 sqrt(3) = 3.46 of the 4.30 needed.
  const PairedGap gap = final_gap(compare({ends_at("topk", {0.5, 0, 0.3}), ends_at("default", {0.51, 0.02, 0.33})}));
  const double reach = 4.302652729749464 * 0.01 / std::sqrt(3.0);
  EXPECT_NEAR(gap.mean, std::exp(0.02) - 1, 1e-12);
  EXPECT_NEAR(gap.low, std::exp(0.02 - reach) - 1, 1e-9);
  EXPECT_NEAR(gap.high, std::exp(0.02 + reach) - 1, 1e-9);
  EXPECT_EQ(verdict_of(gap), Verdict::undecided);
  ASSERT_EQ(gap.by_seed.size(), 3u);
  EXPECT_EQ(gap.by_seed[2].seed, 3);
  EXPECT_NEAR(gap.by_seed[2].gap, std::exp(0.03) - 1, 1e-12);
}

TEST(PairedGap, VariationThatArmsShareDoesNotHideADifference) {
  // The perplexities vary by a factor of two, but the differences hardly vary.
  const std::vector<double> topk = {0, 0.7, 0.3}, better = {-0.02, 0.679, 0.279}, worse = {0.02, 0.721, 0.321};
  EXPECT_EQ(verdict_of(final_gap(compare({ends_at("topk", topk), ends_at("default", better)}))), Verdict::better);
  const Comparison comparison = compare({ends_at("topk", topk), ends_at("default", worse)});
  EXPECT_EQ(verdict_of(final_gap(comparison)), Verdict::worse);
  EXPECT_EQ(headline(comparison),
            "topk ends at perplexity 72.73 ± 25.75, default at 74.25 ± 26.31 (200 tokens, 3 seeds each): default is "
            "2.1 % higher (worse; 95 % interval +1.9 to +2.2 %).");
  EXPECT_EQ(seeds_sentence(comparison, comparison.arms[1]),
            "default against topk by seed: +2.0 % (seed 1), +2.1 % (seed 2), +2.1 % (seed 3).");
}

TEST(PairedGap, OnePairHasNoInterval) {
  const Comparison comparison = compare({ends_at("topk", {0}), ends_at("default", {-0.2})});
  EXPECT_NEAR(final_gap(comparison).mean, std::exp(-0.2) - 1, 1e-12);
  EXPECT_TRUE(std::isnan(final_gap(comparison).low));
  EXPECT_EQ(verdict_of(final_gap(comparison)), Verdict::none);
  EXPECT_EQ(seeds_sentence(comparison, comparison.arms[1]), "");
}

TEST(PairedGap, SeedsWithoutAPartnerAreLeftOutAndNamed) {
  Arm topk = ends_at("topk", {0, 0.1, 9}), arm = ends_at("default", {0.01, 0.13});
  arm.runs.push_back(run_of({80, 1}, 2, 7));
  std::reverse(arm.runs.begin(), arm.runs.end());
  const Comparison comparison = compare({topk, arm});
  EXPECT_NEAR(final_gap(comparison).mean, std::exp(0.02) - 1, 1e-12);
  EXPECT_EQ(comparison.notes,
            (std::vector<std::string>{"topk has a seed that default lacks (3), left out of the gap between the two.",
                                      "default has a seed that topk lacks (7), left out of the gap between the two."}));
}

TEST(PairedGap, WithoutACommonSeedThereIsNoGap) {
  const Comparison comparison = compare({{"topk", {run_of({80, 60}, 2, 1)}}, {"default", {run_of({80, 50}, 2, 2)}}});
  EXPECT_TRUE(comparison.arms[1].gap.empty());
  EXPECT_EQ(headline(comparison),
            "topk ends at perplexity 60.00, default at 50.00 (200 tokens, 1 seed each): default shares no seed with "
            "topk: no verdict.");
  RunLog unknown = run_of({80, 50}, 2);
  unknown.seed.reset();
  EXPECT_TRUE(pairs_of({unknown}, {unknown}).empty());
}

TEST(PairedGap, IsAlsoTakenAtEqualStepsIfTokensPerStepDiffer) {
  RunLog twice = run_of({60, 50, 40}, 3);
  for (EvalRow& row : twice.evals) row.tokens *= 2;
  const Comparison comparison = compare({{"topk", {run_of({80, 60, 50, 45}, 4)}}, {"default", {twice}}});
  const ArmResult& arm = comparison.arms[1];
  ASSERT_EQ(arm.gap_by_steps.size(), 3u);
  EXPECT_EQ(arm.gap_by_steps[1].step, 2);
  EXPECT_EQ(arm.gap_by_steps[1].tokens, 400);
  EXPECT_NEAR(arm.gap_by_steps[1].gap.mean, 50.0 / 60 - 1, 1e-12);
  ASSERT_EQ(arm.gap.size(), 3u);  // at 200, 300 and 400 tokens
  EXPECT_NEAR(arm.gap[2].gap.mean, 50.0 / 45 - 1, 1e-12);
  EXPECT_EQ(arm.gap[2].step, 2);
  EXPECT_TRUE(compare({{"topk", {twice}}, {"default", {twice}}}).arms[1].gap_by_steps.empty());
}

}  // namespace
}  // namespace gptmoe
