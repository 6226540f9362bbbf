#include "report/reference.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/check.h"
#include "base/file.h"
#include "report/comparison.h"
#include "report/made_runs.h"
#include "report/report_charts.h"
#include "support/error_message.h"
#include "support/test_folders.h"

namespace gptmoe {
namespace {

const std::string kCurves = source_folder() + "/data/paper_curves.json";

TEST(Reference, ReadsThePapersCurves) {
  const Reference best = read_reference(kCurves, "8c1_topk");
  EXPECT_EQ(best.name, "8c1");
  ASSERT_EQ(best.points.size(), 68u);
  EXPECT_NEAR(best.points.back().gap, std::exp(3.0480 - 3.0491) - 1, 1e-12);
  EXPECT_NEAR(best.points.back().share, 4950.5 / 5000, 1e-12);
  EXPECT_EQ(best.points.front().step, 5.5);
  EXPECT_EQ(read_reference(kCurves, "8c1_7.33b_topk").name, "8c1_7.33b") << "the longest name that matches";
  EXPECT_EQ(read_reference(kCurves, "8c1_7.33b_topk").points.size(), 55u) << "the logs of this pair end earlier";
  EXPECT_EQ(read_reference(kCurves + ":32c4", "8c1_topk").name, "32c4");
}

TEST(Reference, RefusesUnknownNames) {
  const auto refusal = [](const std::string& argument, const std::string& config) {
    return message<UserError>([&] { read_reference(argument, config); });
  };
  const std::string known =
      "PAIR, where PAIR is one of 8c1, 8c1_3e-4, 8c1_7e-4, 8c1_9e-4, 8c1_0.56b, 8c1_7.33b, 8c2, 32c1, 32c2, 32c4";
  EXPECT_EQ(refusal(kCurves + ":8c16", "8c1"),
            "--reference " + kCurves + ":8c16: it has no pair \"8c16\"; choose one with " + kCurves + ":" + known);
  EXPECT_EQ(refusal(kCurves, "8c16_topk"), "--reference " + kCurves + ": no pair matches the name of 8c16_topk; " +
                                               "choose one with " + kCurves + ":" + known);
}

TEST(Reference, RefusesFilesThatHoldNoCurves) {
  const TemporaryFolder folder;
  const std::string path = (folder / "curves.json").string();
  const auto refusal = [&](const std::string& content) {
    write_text_file(path, content);
    return message<UserError>([&] { read_reference(path + ":a", ""); });
  };
  EXPECT_EQ(refusal("{"), path +
                              ":1:2: syntax error while parsing object key - unexpected end of input; expected string "
                              "literal; --reference takes a file of curves like data/paper_curves.json");
  for (const char* bad : {"[]", R"({"pairs": {"a": {"baseline": "x", "arm": "y"}}})"})
    EXPECT_NE(refusal(bad).find(path + ": not a file of curves"), std::string::npos) << refusal(bad);
  const auto with_steps = [](const std::string& steps) {
    return R"({"by": "b", "source": "s", "planned_steps": 9, "pairs": {"a": {"baseline": "x", "arm": "x"}}, "steps": )" +
           steps + R"(, "curves": {"x": [1, null, 3]}})";
  };
  EXPECT_NE(refusal(with_steps("[1, 2, 1]")).find("at increasing steps"), std::string::npos);
  EXPECT_NE(refusal(with_steps("[1, 2, 3, 4]")).find("not a file of curves"), std::string::npos);
}

TEST(Reference, MeanDistance) {
  EXPECT_NEAR(mean_distance({{0, 1}, {1, 1}}, {{0, 3}, {1, 3}}), 2, 1e-12);
  EXPECT_NEAR(mean_distance({{0, -1}, {1, 1}}, {{0, 0}, {1, 0}}), 0.5, 1e-12) << "the curves cross half way";
  EXPECT_NEAR(mean_distance({{0.2, 5}, {0.6, 1}}, {{0, 0}, {0.4, 0}, {1, 0}}), 3, 1e-12);
  EXPECT_NEAR(mean_distance({{0, 9}, {0.5, 0}, {1, 0}}, {{0.5, 2}, {2, 2}}), 2, 1e-12)
      << "only where both curves exist";
  EXPECT_TRUE(std::isnan(mean_distance({{0, 1}, {0.4, 1}}, {{0.5, 1}, {1, 1}})));
  EXPECT_TRUE(std::isnan(mean_distance({{0, 1}}, {{0, 1}, {1, 1}})));
}

Arm kept(const std::string& name) {
  Arm arm{name, {}};
  for (const char* seed : {"seed_1", "seed_2", "seed_3"})
    arm.runs.push_back(read_run(source_folder() + "/docs/results/runs/" + name + "/learning_rate=4e-3/" + seed));
  return arm;
}

// The expected value is the same integral, computed separately as a fine sum.
TEST(Reference, HasTheRightDistanceFromTheKeptRuns) {
  Comparison comparison = compare({kept("8c1_topk"), kept("8c1_default")});
  EXPECT_TRUE(std::isnan(distance_from_reference(comparison, comparison.arms[1])));
  comparison.reference = read_reference(kCurves, "8c1_topk");
  EXPECT_NEAR(distance_from_reference(comparison, comparison.arms[1]), 0.0236874491, 1e-8);
}

TEST(Reference, IsDrawnByStepAndByShare) {
  Comparison comparison =
      compare({{"topk", {run_of({80, 60, 50, 40}, 4)}}, {"default", {run_of({90, 70, 50, 38}, 4)}}});
  comparison.reference = {"pair", "They", "", {{0.5, 0.0625, 9}, {1, 0.125, 0.5}, {3, 0.375, 0.25}, {8, 1, -0.5}}};
  const Chart chart = gap_chart(comparison);
  ASSERT_EQ(chart.series.size(), 3u);
  const Series &by_step = chart.series[1], &by_share = chart.series[2];
  EXPECT_EQ(by_step.label, "They, pair, by step");
  EXPECT_TRUE(by_step.dashed);
  ASSERT_EQ(by_step.points.size(), 3u) << "the reference's last step is beyond the end of our run";
  EXPECT_EQ(by_step.points[2].x, 300);
  EXPECT_NEAR(by_step.points[2].y, 25, 1e-12);
  EXPECT_EQ(by_share.label, "They, pair, by share");
  ASSERT_EQ(by_share.points.size(), 4u);
  EXPECT_EQ(by_share.points[1].x, 50);
  EXPECT_EQ(by_share.points[3].x, 400);
  EXPECT_LT(*chart.y.from, -50);
  EXPECT_LT(*chart.y.to, 100) << "points before our first evaluation do not stretch the axis";
  comparison.reference->points = {{1, 0.25, 0.5}, {4, 1, 0.25}};
  EXPECT_EQ(gap_chart(comparison).series.size(), 2u)
      << "by step and by share are the same if both runs are equally long";
}

}  // namespace
}  // namespace gptmoe
