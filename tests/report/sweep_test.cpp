#include "report/sweep.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "report/made_runs.h"
#include "report/report_charts.h"
#include "report/svg_files.h"

namespace gptmoe {
namespace {

Arm point(const std::string& family, const std::string& rate, std::vector<RunLog> runs) {
  return {family + " " + rate, std::move(runs), family, {{"optimizer.learning_rate", rate}}};
}

RunLog diverged_run() {
  RunLog run = run_of({50, 10}, 4);
  run.diverged = 3;
  return run;
}

Sweep two_by_two() {
  return sweep_of({point("topk", "1e-3", {run_of({60, 40}, 2), run_of({60, 44}, 2)}),
                   point("topk", "4e-3", {run_of({50, 30}, 2), run_of({50, 34}, 2)}),
                   point("default", "1e-3", {run_of({70, 31}, 2), run_of({70, 35}, 2)}),
                   point("default", "4e-3", {run_of({70, 20}, 2), diverged_run()})});
}

TEST(Sweep, TheBestOfAFamilyHasTheLowestPerplexityAmongThoseThatCameToTheirEnd) {
  const Sweep sweep = two_by_two();
  ASSERT_EQ(sweep.families.size(), 2u);
  EXPECT_EQ(sweep.families[0].points, (std::vector<size_t>{0, 1}));
  EXPECT_EQ(sweep.families[0].best, 1u);
  EXPECT_EQ(sweep.families[1].best, 2u);
  EXPECT_NEAR(sweep.target_perplexity, 32, 1e-9);
  // An unfinished point is not the best either.
  const Sweep unfinished =
      sweep_of({point("topk", "1", {run_of({60, 40}, 2)}), point("topk", "2", {run_of({60, 10}, 3)})});
  EXPECT_EQ(unfinished.families[0].best, 0u);
}

TEST(Sweep, ComparesTheBestUnderTheirFamiliesNames) {
  const Comparison best = compare_best(two_by_two());
  ASSERT_EQ(best.arms.size(), 2u);
  EXPECT_EQ(best.arms[0].arm.label, "topk");
  EXPECT_NEAR(best.arms[1].matched_gap, 33.0 / 32 - 1, 1e-9);
  EXPECT_EQ(best.notes.back(),
            "Best of the sweep: topk at learning_rate=4e-3; default at learning_rate=1e-3, chosen by the validation "
            "perplexity that is reported.");
}

TEST(Sweep, Rows) {
  const std::vector<SweepRow> rows = sweep_rows(two_by_two());
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[0].cells[4], "tokens to 32.00");
  EXPECT_EQ(rows[1].cells,
            (std::vector<std::string>{"topk", "learning_rate=1e-3", "2", "42.00 ± 2.83", "—", "—", "—"}));
  EXPECT_TRUE(rows[2].best);
  EXPECT_EQ(rows[2].cells[4], "200");
  EXPECT_EQ(rows[4].cells[3], "diverged");
  EXPECT_EQ(rows[4].cells[6], "1 of 2");
  EXPECT_FALSE(rows[4].best);
}

TEST(Sweep, SettingsAreNamedShortlyUnlessTwoShareAName) {
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
  EXPECT_TRUE(std::isnan(chart->series[1].points[1].y)) << "a point that diverged has none";
  EXPECT_FALSE(
      sweep_chart(sweep_of({point("a", "uniform", {run_of({9}, 1)}), point("a", "router_score", {run_of({9}, 1)})})));
  EXPECT_EQ(sweep_curves(two_by_two(), 1).series.size(), 2u);
}

TEST(SvgFiles, StandAlone) {
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

TEST(LossSpikes, CountsStretchesFarAboveTheHundredBefore) {
  std::vector<TrainRow> rows(300);
  for (size_t i = 0; i < rows.size(); ++i) rows[i].loss = 4 + (i % 2 ? 0.1 : -0.1);
  EXPECT_EQ(loss_spikes(rows), 0);
  rows[150].loss = rows[151].loss = 6;  // one stretch
  rows[280].loss = std::nan("");        // no number
  rows[50].loss = 9;                    // too early to say
  EXPECT_EQ(loss_spikes(rows), 2);
  rows[290].loss = 4.5;  // five deviations
  EXPECT_EQ(loss_spikes(rows), 2);
  EXPECT_FALSE(loss_spikes(std::vector<TrainRow>(100)).has_value());
  RunLog whole = run_of({9}, 1), thinned = whole;
  whole.train = rows;
  EXPECT_EQ(compare({{"topk", {whole}}}).arms[0].spikes_per_run, 2);
  EXPECT_TRUE(std::isnan(compare({{"topk", {whole, thinned}}}).arms[0].spikes_per_run));
}

}  // namespace
}  // namespace gptmoe
