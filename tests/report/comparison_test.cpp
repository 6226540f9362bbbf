#include "report/comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "report/made_runs.h"
#include "report/number_text.h"
#include "report/table.h"

namespace gptmoe {
namespace {

TrainRow speed_row(int64_t step, double tokens_per_second) {
  TrainRow row;
  row.step = step;
  row.tokens = step;
  row.tokens_per_second = tokens_per_second;
  return row;
}

TEST(Comparison, MeanCurveAndBandOverSeeds) {
  const Comparison comparison = compare({{"topk", {run_of({40, 20}, 2), run_of({60, 30}, 2)}}});
  const std::vector<CurvePoint>& curve = comparison.arms[0].curve;
  ASSERT_EQ(curve.size(), 2u);
  EXPECT_EQ(curve[0].tokens, 100);
  EXPECT_DOUBLE_EQ(curve[0].perplexity.mean, 50);
  EXPECT_EQ(curve[1].tokens, 200);
  EXPECT_DOUBLE_EQ(curve[1].seconds, 20);
  EXPECT_DOUBLE_EQ(curve[1].perplexity.mean, 25);
  EXPECT_NEAR(curve[1].perplexity.min, 20, 1e-12);
  EXPECT_NEAR(curve[1].perplexity.max, 30, 1e-12);
  EXPECT_NEAR(curve[1].perplexity.std, std::sqrt(50.0), 1e-12);
  EXPECT_TRUE(comparison.notes.empty());
}

TEST(Comparison, TokensToTargetInterpolatesTheLoss) {
  // The arm passes 20 = sqrt(40 * 10) halfway between its second and third eval.
  const Comparison comparison =
      compare({{"topk", {run_of({80, 60, 40, 20}, 4)}}, {"default", {run_of({80, 40, 10, 8}, 4)}}});
  EXPECT_NEAR(comparison.target_perplexity, 20, 1e-12);
  const ArmResult& arm = comparison.arms[1];
  ASSERT_TRUE(arm.target.has_value());
  EXPECT_NEAR(arm.target->tokens, 250, 1e-9);
  EXPECT_NEAR(arm.target->seconds, 25, 1e-9);
  EXPECT_NEAR(arm.target_tokens_change, 250.0 / 400 - 1, 1e-12);
  EXPECT_NEAR(arm.matched_gap.mean, 8.0 / 20 - 1, 1e-12);
  // The baseline reaches its own final perplexity exactly at its end.
  ASSERT_TRUE(comparison.arms[0].target.has_value());
  EXPECT_EQ(comparison.arms[0].target->tokens, 400);
}

TEST(Comparison, ATargetIsReachedWhereTheCurveStaysBelowIt) {
  const RunLog baseline = run_of({80, 60, 40, 20}, 4);
  // Below the target at the second eval and above it at the third: only the last descent counts.
  const Comparison back = compare({{"topk", {baseline}}, {"default", {run_of({80, 15, 40, 10}, 4)}}});
  ASSERT_TRUE(back.arms[1].target.has_value());
  EXPECT_NEAR(back.arms[1].target->tokens, 350, 1e-9);
  // Below the target during training but above it at the end: not reached.
  const Comparison lost = compare({{"topk", {baseline}}, {"default", {run_of({80, 15, 10, 21}, 4)}}});
  EXPECT_FALSE(lost.arms[1].target.has_value());
  EXPECT_TRUE(std::isnan(lost.arms[1].target_tokens_change));
  // Below or at the target from the first eval on.
  const Comparison early = compare({{"topk", {baseline}}, {"default", {run_of({20, 19, 18, 17}, 4)}}});
  EXPECT_EQ(early.arms[1].target->tokens, 100);
}

TEST(Comparison, EachSeedHasItsOwnCrossing) {
  const Comparison comparison =
      compare({{"topk", {run_of({40, 20}, 2)}}, {"default", {run_of({40, 10}, 2), run_of({40, 25}, 2)}}});
  const ArmResult& arm = comparison.arms[1];
  ASSERT_EQ(arm.run_targets.size(), 2u);
  EXPECT_NEAR(arm.run_targets[0]->tokens, 150, 1e-9);
  EXPECT_FALSE(arm.run_targets[1].has_value());
  EXPECT_NEAR(arm.matched.mean, 17.5, 1e-12);
}

TEST(Comparison, RunsOfUnequalLengthAreComparedWhereTheShortestEnds) {
  const Comparison comparison = compare({{"topk", {run_of({80, 60, 40, 20}, 4)}}, {"default", {run_of({90, 50}, 4)}}});
  EXPECT_EQ(comparison.matched_tokens, 200);
  EXPECT_NEAR(comparison.arms[0].matched.mean, 60, 1e-12);
  EXPECT_NEAR(comparison.arms[1].matched.mean, 50, 1e-12);
  EXPECT_NEAR(comparison.arms[1].matched_gap.mean, 50.0 / 60 - 1, 1e-12);
  EXPECT_NEAR(comparison.arms[0].final_perplexity().mean, 20, 1e-12);
  EXPECT_FALSE(comparison.arms[1].target.has_value());
  ASSERT_EQ(comparison.arms[1].gap.size(), 2u);
  EXPECT_NEAR(comparison.arms[1].gap[0].gap.mean, 90.0 / 80 - 1, 1e-12);
  ASSERT_EQ(comparison.notes.size(), 2u);
  EXPECT_EQ(comparison.notes[0], "default (runs/made) is unfinished: step 2 of 4.");
}

// Like a run with train.init_from: the first evaluation is before the first step.
RunLog initialized_run(const std::vector<double>& perplexities, int64_t planned_steps) {
  RunLog run = run_of(perplexities, planned_steps);
  for (EvalRow& row : run.evals) {
    row.step -= 1;
    row.tokens -= 100;
  }
  return run;
}

TEST(Comparison, ARunThatIsOnlyEvaluatedAtItsStartIsComparedThere) {
  for (const bool first : {true, false}) {
    std::vector<Arm> arms = {{"begun", {initialized_run({50}, 1)}}, {"ahead", {initialized_run({40, 10}, 1)}}};
    if (!first) std::swap(arms[0], arms[1]);
    const Comparison comparison = compare(arms);
    EXPECT_EQ(comparison.matched_tokens, 0);
    EXPECT_NEAR(comparison.arms[first ? 0 : 1].matched.mean, 50, 1e-9);
    EXPECT_NEAR(comparison.arms[first ? 1 : 0].matched.mean, 40, 1e-9);
    EXPECT_NEAR(comparison.arms[1].matched_gap.mean, first ? 40.0 / 50 - 1 : 50.0 / 40 - 1, 1e-9);
    EXPECT_FALSE(text_report(comparison).empty());
  }
}

// The baseline ends at the perplexity of its first weights, or at a worse one.
TEST(Comparison, ATargetThatTheFirstWeightsReachIsNoGainInTokens) {
  const RunLog worse = initialized_run({20, 30}, 1);
  for (const RunLog& other :
       {initialized_run({20, 30}, 1), initialized_run({20, 25}, 1), initialized_run({40, 10}, 1)}) {
    const Comparison comparison = compare({{"worse", {worse}}, {"other", {other}}});
    ASSERT_TRUE(comparison.arms[0].target.has_value());
    EXPECT_EQ(comparison.arms[0].target->tokens, 0);
    const ArmResult& arm = comparison.arms[1];
    ASSERT_TRUE(arm.target.has_value());
    EXPECT_TRUE(std::isnan(arm.target_tokens_change));
    EXPECT_TRUE(std::isnan(arm.target_seconds_change));
    EXPECT_EQ(text_report(comparison).find("unknown"), std::string::npos) << text_report(comparison);
    for (const std::string& sentence : sentences(comparison))
      EXPECT_EQ(sentence.find("final perplexity"), std::string::npos) << sentence;
  }
  // There is no gain of 100 % either if only the other arm reaches the target immediately.
  const Comparison early =
      compare({{"topk", {initialized_run({40, 30}, 1)}}, {"other", {initialized_run({20, 10}, 1)}}});
  EXPECT_EQ(early.arms[0].target->tokens, 100);
  EXPECT_EQ(early.arms[1].target->tokens, 0);
  EXPECT_TRUE(std::isnan(early.arms[1].target_tokens_change));
}

TEST(Comparison, AnUnfinishedSeedEndsTheCurveOfItsArm) {
  const Comparison comparison = compare({{"topk", {run_of({80, 60, 40}, 3), run_of({90, 50}, 3)}}});
  EXPECT_EQ(comparison.arms[0].tokens(), 200);
  EXPECT_DOUBLE_EQ(comparison.arms[0].final_perplexity().mean, 55);
  ASSERT_EQ(comparison.notes.size(), 1u);
  EXPECT_NE(comparison.notes[0].find("the curves of its arm end with it"), std::string::npos);
}

TEST(Comparison, CurvesAreInterpolatedIfTheirEvalsAreAtDifferentTokens) {
  RunLog coarse = run_of({80, 60, 20}, 3);
  coarse.evals.erase(coarse.evals.begin() + 1);  // 80 at 100 tokens and 20 at 300, so 40 at 200
  const Comparison comparison = compare({{"topk", {run_of({80, 60, 20}, 3), coarse}}});
  ASSERT_EQ(comparison.arms[0].curve.size(), 3u);
  EXPECT_DOUBLE_EQ(comparison.arms[0].curve[1].perplexity.mean, 50);
  EXPECT_NEAR(comparison.arms[0].curve[1].seconds, 20, 1e-12);
}

TEST(Comparison, RunsWithoutEvalsAreLeftOutAndNoted) {
  const Comparison comparison = compare({{"topk", {run_of({}, 0), run_of({40, 20}, 2)}}, {"default", {run_of({}, 0)}}});
  EXPECT_NEAR(comparison.arms[0].final_perplexity().mean, 20, 1e-12);
  EXPECT_EQ(comparison.arms[0].final_perplexity().count, 1);
  EXPECT_TRUE(comparison.arms[1].curve.empty());
  EXPECT_TRUE(std::isnan(comparison.arms[1].matched_gap.mean));
  EXPECT_EQ(comparison.matched_tokens, 200);
  EXPECT_NE(comparison.notes[0].find("has no evaluation yet"), std::string::npos);
}

TEST(Comparison, ADivergedRunReachesNoTarget) {
  const Comparison comparison =
      compare({{"topk", {run_of({40, 20}, 2)}}, {"default", {run_of({40, std::nan("")}, 2)}}});
  EXPECT_FALSE(comparison.arms[1].target.has_value());
  EXPECT_TRUE(std::isnan(comparison.arms[1].matched_gap.mean));
  EXPECT_NE(comparison.notes[0].find("diverged"), std::string::npos);
}

// A loss whose perplexity overflows counts as a divergence.
TEST(Comparison, NothingIsComparedWithABaselineThatDiverged) {
  RunLog overflowed = run_of({40, 20}, 2), ended = run_of({40}, 2);
  overflowed.evals[1].val_loss = 800;
  ended.diverged = 2;
  for (const RunLog& baseline : {overflowed, ended, run_of({40, std::nan("")}, 2)}) {
    const Comparison comparison = compare({{"topk", {baseline}}, {"default", {run_of({40, 10}, 2)}}});
    EXPECT_EQ(comparison.arms[0].diverged, 1);
    EXPECT_TRUE(std::isnan(comparison.target_perplexity));
    EXPECT_EQ(comparison.matched_tokens, 200);
    const ArmResult& arm = comparison.arms[1];
    EXPECT_NEAR(arm.matched.mean, 10, 1e-12);
    EXPECT_TRUE(std::isnan(arm.matched_gap.mean));
    EXPECT_TRUE(arm.gap.empty());
    EXPECT_FALSE(arm.target.has_value());
    EXPECT_FALSE(arm.run_targets[0].has_value());
  }
  const Comparison both = compare({{"topk", {overflowed}}, {"default", {overflowed}}});
  EXPECT_FALSE(both.arms[1].target.has_value());
  EXPECT_TRUE(std::isnan(both.arms[1].matched_gap.mean));
  EXPECT_NE(both.notes[0].find("last validation perplexity is not finite"), std::string::npos);
}

TEST(Comparison, APointWhereTheBaselineOverflowedHasNoGap) {
  RunLog baseline = run_of({40, 20}, 2);
  baseline.evals[0].val_loss = 800;
  const Comparison comparison = compare({{"topk", {baseline}}, {"default", {run_of({40, 10}, 2)}}});
  ASSERT_EQ(comparison.arms[1].gap.size(), 2u);
  EXPECT_TRUE(std::isnan(comparison.arms[1].gap[0].gap.mean));
  EXPECT_NEAR(comparison.arms[1].gap[1].gap.mean, -0.5, 1e-12);
}

// The remaining seeds would flatter the arm.
TEST(Comparison, AnArmWithADivergedSeedHasNoVerdict) {
  RunLog ended = run_of({40, 15}, 4);
  ended.diverged = 3;
  const RunLog healthy = run_of({40, 30, 20, 5}, 4);
  const Comparison comparison = compare({{"topk", {run_of({40, 30, 20, 10}, 4)}}, {"default", {healthy, ended}}});
  EXPECT_EQ(comparison.matched_tokens, 400) << "what the other runs reached";
  const ArmResult& arm = comparison.arms[1];
  EXPECT_EQ(arm.diverged, 1);
  EXPECT_EQ(arm.final_perplexity().count, 0);
  EXPECT_TRUE(std::isnan(arm.matched_gap.mean));
  EXPECT_TRUE(arm.gap.empty());
  EXPECT_FALSE(arm.target.has_value());
  EXPECT_TRUE(arm.run_targets[0].has_value()) << "the seed that finished";
  EXPECT_FALSE(arm.run_targets[1].has_value());
  EXPECT_EQ(comparison.notes[0], "default (runs/made) diverged at step 3 of 4; its arm has no final perplexity.");
}

RunLog timed_run() {
  RunLog run = run_of({40, 20}, 2);
  for (int64_t step = 1; step <= 10; ++step) run.train.push_back(speed_row(step, 100));
  return run;
}

TEST(Comparison, SpeedsOfRunsThatShareAMachineAreNotCompared) {
  RunLog beside = timed_run();
  beside.at_once = 2;
  const Comparison comparison = compare({{"topk", {timed_run()}}, {"default", {beside}}, {"other", {timed_run()}}});
  EXPECT_EQ(comparison.arms[1].tokens_per_second, 100);
  EXPECT_TRUE(std::isnan(comparison.arms[1].throughput_ratio));
  EXPECT_TRUE(std::isnan(comparison.arms[1].target_seconds_change));
  EXPECT_EQ(comparison.arms[1].target_tokens_change, 0);
  EXPECT_EQ(comparison.arms[2].throughput_ratio, 1);
  EXPECT_EQ(comparison.arms[2].target_seconds_change, 0);
  EXPECT_EQ(comparison.notes[0],
            "default trained at the same time as other runs, which slow each other down: speeds are not compared.");
}

TEST(Comparison, SpeedsAreComparedWithinOneBuildAndMachine) {
  const auto obstacle = [](const std::function<void(RunLog&)>& change) {
    RunLog changed = timed_run();
    change(changed);
    const Comparison comparison = compare({{"topk", {timed_run()}}, {"default", {timed_run(), changed}}});
    const ArmResult& arm = comparison.arms[1];
    EXPECT_TRUE(std::isnan(arm.throughput_ratio));
    EXPECT_EQ(comparison.notes, std::vector<std::string>{arm.speed_obstacle.sentence + ": speeds are not compared."});
    return arm.speed_obstacle.brief;
  };
  EXPECT_EQ(obstacle([](RunLog& run) { run.provenance[0].build["commit"] = "later"; }), "other build");
  EXPECT_EQ(obstacle([](RunLog& run) { run.provenance[0].machine["host"] = "there"; }), "other machine");
  EXPECT_EQ(obstacle([](RunLog& run) { run.provenance[0].threads = 4; }), "other thread count");
  EXPECT_EQ(obstacle([](RunLog& run) { run.provenance[0].ranks = 2; }), "other rank count");
  EXPECT_EQ(obstacle([](RunLog& run) { run.provenance.clear(); }), "machine unknown");
  EXPECT_EQ(obstacle([](RunLog& run) { run.provenance[0].from_step = 1; }), "machine unknown");
  EXPECT_EQ(obstacle([](RunLog& run) {
              run.provenance.push_back(run.provenance[0]);
              run.provenance[1].from_step = 1;
            }),
            "machine changed");
}

TEST(Comparison, ThroughputIsTheMedianAfterWarmUpAndTheRatioPairsSteps) {
  Arm topk{"topk", {run_of({20}, 1)}}, other{"default", {run_of({20}, 1)}};
  for (int64_t step = 1; step <= 10; ++step) {
    // The first two of ten rows are warm-up. The baseline slows down after step 6; the other arm runs at 80 % of the
    // baseline's speed.
    const double speed = step <= 2 ? 1 : step <= 6 ? 1000 : 500;
    topk.runs[0].train.push_back(speed_row(step, speed));
    if (step <= 6) other.runs[0].train.push_back(speed_row(step, step == 1 ? 1 : 0.8 * speed));
  }
  const Comparison comparison = compare({topk, other});
  EXPECT_EQ(comparison.arms[0].tokens_per_second, 750);
  EXPECT_EQ(comparison.arms[1].tokens_per_second, 800);
  EXPECT_NEAR(comparison.arms[1].throughput_ratio, 0.8, 1e-12);
  EXPECT_TRUE(std::isnan(comparison.arms[0].throughput_ratio));
  EXPECT_TRUE(std::isnan(comparison.arms[0].mfu));
}

TEST(Comparison, ExpertLoadIsSortedPerSeedThenAveragedByPlace) {
  RunLog a = run_of({20}, 1), b = run_of({20}, 1);
  a.evals[0].expert_load = {{0.1, 0.3, 0.4, 0.2}};
  b.evals[0].expert_load = {{0.6, 0.2, 0.1, 0.1}};
  a.evals[0].router_entropy = {1.0};
  b.evals[0].router_entropy = {0.5};
  const Comparison comparison = compare({{"topk", {a, b}}});
  ASSERT_EQ(comparison.arms[0].expert_load.size(), 1u);
  const std::vector<double> expected = {2.0, 1.0, 0.6, 0.4};
  for (size_t e = 0; e < 4; ++e) EXPECT_NEAR(comparison.arms[0].expert_load[0][e], expected[e], 1e-12) << e;
  EXPECT_DOUBLE_EQ(comparison.arms[0].curve[0].router_entropy[0], 0.75);
}

TEST(Comparison, CountsDeadExpertsAtTheLastEvaluation) {
  RunLog a = run_of({30, 20}, 2), b = run_of({20}, 1);
  a.evals[0].expert_load = {{0, 0, 0, 1}, {0.25, 0.25, 0.25, 0.25}};
  a.evals[1].expert_load = {{0.02, 0.03, 0.45, 0.5}, {0.25, 0.25, 0.25, 0.25}};
  b.evals[0].expert_load = {{0, 0, 0.5, 0.5}, {0.02, 0.48, 0.25, 0.25}};
  const Comparison comparison = compare({{"one", {a}}, {"two", {a, b}}, {"dense", {run_of({20}, 1)}}});
  EXPECT_EQ(comparison.arms[0].dead_experts, 1);
  EXPECT_EQ(comparison.arms[0].experts, 8);
  EXPECT_EQ(comparison.arms[1].dead_experts, 2);
  EXPECT_TRUE(std::isnan(comparison.arms[2].dead_experts));
}

// A router without a fixed number of experts per token logs loads as shares of N·K, not of the slots that it assigned.
TEST(Comparison, LoadsAreSharesOfTheAssignedSlots) {
  RunLog run = run_of({20}, 1);
  run.evals[0].expert_load = {{0.3, 0.18, 0.108, 0.012}};  // 60 % of N·K
  const Comparison comparison = compare({{"floating", {run}}});
  const std::vector<double> expected = {2.0, 1.2, 0.72, 0.08};
  for (size_t e = 0; e < 4; ++e) EXPECT_NEAR(comparison.arms[0].expert_load[0][e], expected[e], 1e-12) << e;
  EXPECT_EQ(comparison.arms[0].dead_experts, 1);
}

TEST(Comparison, NotesSettingsThatMakePerplexitiesIncomparable) {
  RunLog a = run_of({20}, 1), b = run_of({20}, 1);
  a.config["data"]["val"] = "a.bin";
  b.config["data"]["val"] = "b.bin";
  const Comparison comparison = compare({{"topk", {a}}, {"default", {b}}});
  ASSERT_EQ(comparison.notes.size(), 1u);
  EXPECT_EQ(comparison.notes[0], "Runs differ in data.val: their perplexities are not comparable.");

  RunLog older = run_of({20}, 1), newer = run_of({20}, 1);  // the older one's config lacks the key
  newer.config["data"]["document_mask"] = false;
  EXPECT_TRUE(compare({{"topk", {older}}, {"default", {newer}}}).notes.empty());
  newer.config["data"]["document_mask"] = true;
  EXPECT_EQ(compare({{"topk", {older}}, {"default", {newer}}}).notes,
            std::vector<std::string>{"Runs differ in data.document_mask: their perplexities are not comparable."});
}

TEST(Comparison, NotesRunsThatMixTheirSourcesDifferently) {
  const auto note = [](const char* first, const char* second) {
    RunLog a = run_of({40, 20}, 2), b = run_of({40, 10}, 2);
    a.config["data"]["train"] = nlohmann::ordered_json::parse(first);
    b.config["data"]["train"] = nlohmann::ordered_json::parse(second);
    const Comparison comparison = compare({{"topk", {a}}, {"default", {b}}});
    return std::count(comparison.notes.begin(), comparison.notes.end(), "Runs mix their training sources differently.");
  };
  EXPECT_EQ(note(R"([{"path": "a", "weight": 1}, {"path": "b", "weight": 2}])",
                 R"([{"path": "a", "weight": 2}, {"path": "b", "weight": 2}])"),
            1);
  EXPECT_EQ(note(R"("[ab]")", R"(["a", "b"])"), 1);
  EXPECT_EQ(note(R"({"x": "a", "y": "b"})", R"(["here/a", {"path": "here/b", "name": "z"}])"), 0);
  EXPECT_EQ(note(R"("a")", R"("elsewhere/a")"), 0);
}

TEST(Comparison, NotesDataThatMakePerplexitiesIncomparable) {
  RunLog a = run_of({20}, 1), b = run_of({20}, 1), unknown = run_of({20}, 1, 2);
  HistoryEntry entry;
  entry.train = {{"train.bin", 9, "1"}};
  entry.val = {{"val.bin", 5, "2"}};
  a.history = b.history = {entry};
  EXPECT_TRUE(compare({{"topk", {a}}, {"default", {b}}}).notes.empty());
  b.history[0].val[0].path = "elsewhere/val.bin";
  EXPECT_TRUE(compare({{"topk", {a}}, {"default", {b}}}).notes.empty()) << "the same tokens";
  b.history[0].val[0].checksum = "3";
  const std::vector<std::string> notes = compare({{"topk", {a, unknown}}, {"default", {b, unknown}}}).notes;
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0], "Runs read different validation tokens: their perplexities are not comparable.");
  b.history[0] = entry;
  b.history[0].train.push_back({"train_1.bin", 7, "4"});
  ASSERT_EQ(compare({{"topk", {a}}, {"default", {b}}}).notes.size(), 1u);
}

}  // namespace
}  // namespace gptmoe
