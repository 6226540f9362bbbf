#include "report/sweep.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "report/html_report.h"
#include "report/json_report.h"
#include "report/made_runs.h"
#include "report/report_charts.h"
#include "report/svg_files.h"
#include "report/tag_balance.h"

namespace gptmoe {
namespace {

Arm point(const std::string& family, const std::string& rate, std::vector<RunLog> runs) {
  return {family + " " + rate, std::move(runs), family, {{"optimizer.learning_rate", rate}}};
}

RunLog diverged_run() {
  RunLog run = run_of({50, 10}, 4, 2);
  run.diverged = 3;
  return run;
}

Sweep two_by_two() {
  return sweep_of({point("topk", "1e-3", {run_of({60, 40}, 2), run_of({60, 44}, 2, 2)}),
                   point("topk", "4e-3", {run_of({50, 30}, 2), run_of({50, 34}, 2, 2)}),
                   point("default", "1e-3", {run_of({70, 31}, 2), run_of({70, 35}, 2, 2)}),
                   point("default", "4e-3", {run_of({70, 20}, 2), diverged_run()})});
}

TEST(Sweep, TheBestOfAFamilyIsTheFinishedPointOfLowestPerplexity) {
  const Sweep sweep = two_by_two();
  ASSERT_EQ(sweep.families.size(), 2u);
  EXPECT_EQ(sweep.families[0].points, (std::vector<size_t>{0, 1}));
  EXPECT_EQ(sweep.families[0].best, 1u);
  EXPECT_EQ(sweep.families[1].best, 2u);
  EXPECT_NEAR(sweep.target_perplexity, 32, 1e-9);
  // An unfinished point is never the best one.
  const Sweep unfinished =
      sweep_of({point("topk", "1", {run_of({60, 40}, 2)}), point("topk", "2", {run_of({60, 10}, 3)})});
  EXPECT_EQ(unfinished.families[0].best, 0u);
}

Sweep one_diverges() {
  return sweep_of({point("topk", "1e3", {diverged_run()}), point("topk", "3e2", {run_of({60, std::nan("")}, 2)}),
                   point("default", "1e3", {diverged_run()}), point("default", "3e2", {run_of({60, 40}, 2)})});
}

TEST(Sweep, AFamilyThatDivergedEverywhereHasNoBest) {
  const Sweep sweep = one_diverges();
  EXPECT_FALSE(sweep.families[0].best.has_value());
  EXPECT_EQ(sweep.families[1].best, 3u);
  EXPECT_NEAR(sweep.target_perplexity, 40, 1e-9) << "from the first family that has a best point";
  for (const SweepRow& row : sweep_rows(sweep)) EXPECT_EQ(row.best, row.cells[3] == "40.00");
  const Comparison best = compare_best(sweep);
  ASSERT_EQ(best.arms.size(), 1u);
  EXPECT_EQ(best.arms[0].arm.label, "default");
  EXPECT_EQ(best.notes[best.notes.size() - 3],
            "Left out: topk, because no point of the sweep finished with a finite perplexity.");
  const auto report = json_report(best, &sweep);
  for (const auto& each : report["sweep"]["points"])
    EXPECT_EQ(each["best"], each["settings"]["optimizer.learning_rate"] == "3e2" && each["config"] == "default");
}

TEST(Sweep, WithoutABestPointEachConfigIsShownAtItsFirstPoint) {
  const Sweep sweep = sweep_of({point("topk", "1e3", {diverged_run()}), point("topk", "3e2", {diverged_run()}),
                                point("default", "1e3", {diverged_run()})});
  EXPECT_TRUE(std::isnan(sweep.target_perplexity));
  const Comparison shown = compare_best(sweep);
  ASSERT_EQ(shown.arms.size(), 2u);
  EXPECT_EQ(shown.arms[0].arm.label, "topk 1e3");
  EXPECT_NE(shown.notes.back().find("each config is shown at its first point"), std::string::npos);
  EXPECT_EQ(sweep_rows(sweep)[0].cells[4], "tokens to best");
}

TEST(Sweep, PairsPointsOfTheSameSetting) {
  const Sweep sweep = two_by_two();
  EXPECT_FALSE(against_first(sweep, 0)) << "a point of the first config itself";
  const std::optional<SettingPair> pair = against_first(sweep, 2);
  ASSERT_TRUE(pair.has_value());
  const double gap = std::sqrt(31.0 / 40 * 35 / 44) - 1;
  EXPECT_NEAR(pair->gap.mean, gap, 1e-9);
  EXPECT_NEAR(pair->target->tokens, 100 + 100 * std::log(70.0 / 42) / std::log(70.0 / 33), 1);
  EXPECT_NEAR(pair->target_tokens_change, pair->target->tokens / 200 - 1, 1e-9);
  EXPECT_FALSE(against_first(sweep, 3)) << "it diverged";
  const auto json = json_report(compare_best(sweep), &sweep)["sweep"]["points"];
  EXPECT_NEAR(json[2]["against_first"]["gap"]["mean"].get<double>(), gap, 1e-9);
  EXPECT_TRUE(json[3]["against_first"].is_null());
}

TEST(Sweep, ATargetThatTheFirstWeightsReachHasNoChange) {
  RunLog worse = run_of({20, 30}, 1), other = run_of({40, 10}, 1);
  for (RunLog* run : {&worse, &other})
    for (EvalRow& row : run->evals) row.step -= 1, row.tokens -= 100;  // the first one before the first step
  const Sweep sweep = sweep_of({point("topk", "1e-3", {worse}), point("default", "1e-3", {other})});
  const std::optional<SettingPair> pair = against_first(sweep, 1);
  ASSERT_TRUE(pair && pair->target);
  EXPECT_TRUE(std::isnan(pair->target_tokens_change));
  for (const SweepRow& row : sweep_rows(sweep))
    for (const std::string& cell : row.cells) EXPECT_EQ(cell.find("unknown"), std::string::npos) << cell;
}

TEST(Sweep, PairsIgnoreSettingsThatOnlyOneConfigHas) {
  Arm finer = point("default", "1e-3", {run_of({60, 20}, 2)});
  finer.settings.push_back({"router.ema_beta", "0.9"});
  const Sweep sweep = sweep_of({point("topk", "1e-3", {run_of({60, 40}, 2)}),
                                point("topk", "4e-3", {run_of({60, 30}, 2)}),
                                finer,
                                {"default", {run_of({60, 20}, 2)}, "default"}});
  EXPECT_NEAR(against_first(sweep, 2)->gap.mean, -0.5, 1e-9);
  EXPECT_FALSE(against_first(sweep, 3)) << "topk has no point as configured";
}

TEST(Sweep, ComparesTheBestPointsUnderTheNamesOfTheirFamilies) {
  const Comparison best = compare_best(two_by_two());
  ASSERT_EQ(best.arms.size(), 2u);
  EXPECT_EQ(best.arms[0].arm.label, "topk");
  EXPECT_NEAR(best.arms[1].matched_gap.mean, std::sqrt(31.0 / 30 * 35 / 34) - 1, 1e-9);
  EXPECT_EQ(best.notes[best.notes.size() - 3],
            "Best of the sweep: topk at learning_rate=4e-3; default at learning_rate=1e-3, chosen by the reported "
            "validation perplexity.");
}

TEST(Sweep, NotesABestValueAtTheEdgeOfTheValuesTried) {
  EXPECT_EQ(edge_notes(two_by_two()),
            (std::vector<std::string>{
                "topk: the best learning_rate, 4e-3, is the largest tried; a better one may be beyond it.",
                "default: the best learning_rate, 1e-3, is the smallest tried; a better one may be beyond it."}));
  const std::vector<Arm> inside = {point("topk", "16e-3", {diverged_run()}), point("topk", "1e-3", {run_of({60}, 1)}),
                                   point("topk", "8e-3", {run_of({40}, 1)})};
  EXPECT_TRUE(edge_notes(sweep_of(inside)).empty()) << "values that diverged were tried too";
  EXPECT_TRUE(edge_notes(sweep_of({inside[2]})).empty()) << "one value is not a sweep";
  EXPECT_TRUE(
      edge_notes(sweep_of({point("a", "uniform", {run_of({9}, 1)}), point("a", "score", {run_of({8}, 1)})})).empty());
}

TEST(Sweep, Rows) {
  const std::vector<SweepRow> rows = sweep_rows(two_by_two());
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[0].cells[4], "tokens to 32.00");
  EXPECT_EQ(rows[0].cells[5], "against topk");
  EXPECT_EQ(rows[1].cells,
            (std::vector<std::string>{"topk", "learning_rate=1e-3", "2", "42.00 ± 2.83", "—", "—", "—", "—", "—"}));
  EXPECT_EQ(rows[3].cells[5], "−21 % (−33 to −7.4 %)");
  EXPECT_EQ(rows[3].cells[6], "168 (−16 %)");
  EXPECT_TRUE(rows[2].best);
  EXPECT_EQ(rows[2].cells[4], "200");
  EXPECT_EQ(rows[4].cells[3], "diverged (1 of 2)");
  EXPECT_EQ(rows[4].cells[8], "1 of 2");
  EXPECT_FALSE(rows[4].best);
}

TEST(Sweep, SettingsHaveShortNamesUnlessTwoShareOne) {
  EXPECT_EQ(settings_text({{"a.beta", "1"}, {"b.gamma", "2"}}), "beta=1, gamma=2");
  EXPECT_EQ(settings_text({{"a.beta", "1"}, {"b.beta", "2"}}, ","), "a.beta=1,b.beta=2");
}

TEST(Sweep, ChartsTheOneNumberThatVaries) {
  const std::optional<Chart> chart = sweep_chart(two_by_two());
  ASSERT_TRUE(chart.has_value());
  EXPECT_EQ(chart->x.title, "optimizer.learning_rate");
  EXPECT_EQ(chart->x.scale, Scale::log);
  ASSERT_EQ(chart->series.size(), 2u);
  EXPECT_NEAR(chart->series[0].points[1].x, 4e-3, 1e-12);
  EXPECT_NEAR(chart->series[0].points[1].y, 32, 1e-9);
  EXPECT_TRUE(std::isnan(chart->series[1].points[1].y)) << "a point that diverged has no value";
  ASSERT_EQ(chart->x.ticks.size(), 2u) << "the axis is marked at the values tried, in the config's words";
  EXPECT_EQ(chart->x.ticks[0].text, "1e-3");
  EXPECT_NEAR(chart->x.ticks[1].value, 4e-3, 1e-12);
  EXPECT_NE(svg_line_chart(*chart).find(">4e-3</text>"), std::string::npos);
  EXPECT_EQ(svg_line_chart(*chart).find(">0.002</text>"), std::string::npos);
  EXPECT_FALSE(sweep_chart(sweep_of({point("a", "uniform", {run_of({9}, 1)}), point("a", "score", {run_of({9}, 1)})})));
  EXPECT_EQ(sweep_curves(two_by_two(), 1).series.size(), 2u);
}

TEST(Sweep, ChartsAConfigWithOnePointAsADot) {
  const Arm low = point("topk", "1e-3", {run_of({60, 40}, 2)}), high = point("topk", "4e-3", {run_of({50, 30}, 2)});
  const Arm alone = point("default", "2e-3", {run_of({70, 20}, 2)});
  const std::optional<Chart> chart = sweep_chart(sweep_of({low, high, alone}));
  ASSERT_TRUE(chart.has_value());
  ASSERT_EQ(chart->series.size(), 2u);
  EXPECT_EQ(chart->series[1].label, "default");
  EXPECT_NE(svg_line_chart(*chart).find("class=\"dot c1\""), std::string::npos);
  EXPECT_EQ(occurrences(svg_line_chart(sweep_chart(sweep_of({low, alone})).value()), "class=\"dot"), 2u);
  EXPECT_FALSE(sweep_chart(sweep_of({low, point("default", "1e-3", {run_of({70, 20}, 2)})}))) << "one value";
}

// Beside the curves of other configs, a config without a chart would look forgotten.
TEST(Sweep, EveryConfigHasItsCurvesIfOneHasSeveralPoints) {
  const Arm low = point("topk", "1e-3", {run_of({60, 40}, 2)}), high = point("topk", "4e-3", {run_of({50, 30}, 2)});
  const Arm alone = point("default", "2e-3", {run_of({70, 20}, 2)});
  const Sweep sweep = sweep_of({low, high, alone}), singles = sweep_of({low, alone});
  EXPECT_EQ(occurrences(html_report(compare_best(sweep), &sweep), "<figure data-chart=\"sweep-curves-"), 2u);
  EXPECT_EQ(occurrences(html_report(compare_best(singles), &singles), "<figure data-chart=\"sweep-curves-"), 0u);
  const TemporaryFolder folder;
  write_svg_files(folder / "charts", compare_best(sweep), &sweep);
  EXPECT_TRUE(std::filesystem::exists(folder / "charts/curves_default.svg"));
}

TEST(SvgFiles, AreSelfContained) {
  const TemporaryFolder folder;
  const Sweep sweep = two_by_two();
  std::vector<std::string> names;
  for (const auto& path : write_svg_files(folder / "charts", compare_best(sweep), &sweep)) {
    names.push_back(path.filename());
    const std::string svg = read_text_file(path);
    EXPECT_TRUE(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=")) << path;
    EXPECT_NE(svg.find("--c0:"), std::string::npos);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"perplexity.svg", "gap.svg", "sweep.svg", "curves_topk.svg",
                                             "curves_default.svg"}));
}

TEST(SvgFiles, LabelsThatGiveOneFileNameDoNotOverwriteEachOther) {
  const TemporaryFolder folder;
  RunLog run = run_of({60, 40}, 2);
  for (EvalRow& row : run.evals) row.expert_load = {{0.5, 0.5}};
  std::vector<std::string> names;
  for (const auto& path : write_svg_files(folder / "charts", compare({{"a/b", {run}}, {"a-b", {run}}})))
    names.push_back(path.filename());
  EXPECT_EQ(names, (std::vector<std::string>{"perplexity.svg", "gap.svg", "load_a-b.svg", "load_a-b_2.svg"}));
}

TEST(LossSpikes, CountsStretchesFarAboveThePrecedingHundredRows) {
  std::vector<TrainRow> rows(300);
  for (size_t i = 0; i < rows.size(); ++i) rows[i].loss = 4 + (i % 2 ? 0.1 : -0.1);
  EXPECT_EQ(loss_spikes(rows), 0);
  rows[150].loss = rows[151].loss = 6;  // one spike of two rows
  rows[280].loss = std::nan("");        // a NaN is a spike
  rows[50].loss = 9;                    // too early: fewer than 100 rows before it
  EXPECT_EQ(loss_spikes(rows), 2);
  rows[290].loss = 4.5;  // five standard deviations are too few
  EXPECT_EQ(loss_spikes(rows), 2);
  EXPECT_FALSE(loss_spikes(std::vector<TrainRow>(100)).has_value());
  RunLog whole = run_of({9}, 1), thinned = whole;
  whole.train = rows;
  EXPECT_EQ(compare({{"topk", {whole}}}).arms[0].spikes_per_run, 2);
  EXPECT_TRUE(std::isnan(compare({{"topk", {whole, thinned}}}).arms[0].spikes_per_run));
  thinned.thinned = {.step = 0, .train_rows = 300, .loss_spikes = 4};
  EXPECT_EQ(compare({{"topk", {whole, thinned}}}).arms[0].spikes_per_run, 3);
}

}  // namespace
}  // namespace gptmoe
