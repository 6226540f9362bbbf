#include "report/page_charts.h"

#include <gtest/gtest.h>

#include <cmath>

#include "report/comparison.h"
#include "report/html_report.h"
#include "report/made_runs.h"
#include "report/tag_balance.h"

namespace gptmoe {
namespace {

using nlohmann::json;

Chart chart_of(const std::string& id, std::vector<ChartPoint> points) {
  Chart chart;
  chart.id = id;
  chart.series.push_back({"line", 0, 1, std::move(points)});
  return chart;
}

json data_in(const std::string& html) {
  const std::string open = "<script type=\"application/json\" id=\"chart-data\">";
  const size_t begin = html.find(open) + open.size();
  return json::parse(html.substr(begin, html.find("</script>", begin) - begin));
}

json column(const json& data, const std::string& chart, size_t series, const std::string& name) {
  return data["columns"][data["charts"][chart]["series"][series][name].get<size_t>()];
}

RunLog trained(const std::vector<double>& perplexities) {
  RunLog run = run_of(perplexities, std::ssize(perplexities));
  for (const EvalRow& eval : run.evals) {
    TrainRow row;
    row.step = eval.step;
    row.tokens = eval.tokens;
    row.seconds = eval.seconds;
    row.loss = eval.val_loss + 0.5;
    run.train.push_back(row);
  }
  return run;
}

TEST(PageCharts, TheReportsDataAreTheMetrics) {
  const RunLog topk = trained({80, 60, 50}), other = trained({90, 66, 49});
  const json data = data_in(html_report(compare({{"topk", {topk}}, {"default", {other}}})));
  for (const char* chart : {"by-tokens", "by-time", "loss"}) {
    EXPECT_EQ(data["charts"][chart]["series"][1]["name"], "default") << chart;
    EXPECT_EQ(column(data, chart, 1, "tokens"), json({100, 200, 300})) << chart;
    EXPECT_EQ(column(data, chart, 1, "steps"), json({1, 2, 3})) << chart;
    EXPECT_EQ(column(data, chart, 1, "seconds"), json({10, 20, 30})) << chart;
  }
  EXPECT_EQ(column(data, "by-tokens", 0, "y"), json({80, 60, 50}));
  EXPECT_EQ(column(data, "by-tokens", 1, "y"), json({90, 66, 49}));
  for (size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(column(data, "loss", 0, "y")[i].get<double>(), topk.train[i].loss, 1e-5 * topk.train[i].loss);
  EXPECT_EQ(column(data, "gap", 0, "y"), json({12.5, 10, -2}));
  EXPECT_EQ(column(data, "gap", 0, "seconds"), json({10, 20, 30}));
  EXPECT_EQ(data["charts"]["by-tokens"]["x"]["along"], "tokens");
  EXPECT_EQ(data["charts"]["by-time"]["x"]["along"], "seconds");
  EXPECT_EQ(data["charts"]["by-tokens"]["y"]["log"], true);
}

TEST(PageCharts, ALineWithoutALegendHasANameInTheData) {
  const json data = data_in(html_report(compare({{"alone", {trained({80, 60})}}})));
  EXPECT_EQ(data["charts"]["by-tokens"]["series"][0]["name"], "alone");
  EXPECT_EQ(data["charts"]["by-tokens"]["series"][0]["label"], "");
}

TEST(PageCharts, EqualColumnsAreStoredOnceAndUnknownNumbersAreNull) {
  PageCharts page;
  page.add("", chart_of("a", {{1, 2, 2, 2, ""}, {2, NAN, NAN, NAN, ""}}));
  page.add("", chart_of("b", {{1, 5, 4, 6, ""}, {2, 6, 6, 6, ""}}));
  const json data = json::parse(page.data());
  EXPECT_EQ(data["columns"], json::parse("[[1,2],[2,null],[5,6],[4,6],[6,6]]"));
  const json &a = data["charts"]["a"]["series"][0], &b = data["charts"]["b"]["series"][0];
  EXPECT_EQ(a["x"], b["x"]);
  EXPECT_TRUE(a["low"].is_null()) << "no band";
  EXPECT_EQ(b["low"], 3);
  EXPECT_TRUE(a["tokens"].is_null()) << "the place in training is unknown";
}

TEST(PageCharts, ThinsLongRunsAndKeepsTheirEnds) {
  std::vector<ChartPoint> points;
  for (int i = 0; i < 10000; ++i) points.push_back({static_cast<double>(i), 1, 1, 1, "hint"});
  PageCharts page;
  const std::string figure = page.add("", chart_of("long", points));
  const json x = json::parse(page.data())["columns"][0];
  EXPECT_GT(x.size(), 400u);
  EXPECT_LE(x.size(), 501u);
  EXPECT_EQ(x.front(), 0);
  EXPECT_EQ(x.back(), 9999);
  EXPECT_EQ(occurrences(figure, "<title>hint</title>"), x.size()) << "the picture has the same points";
}

TEST(PageCharts, LabelsCannotEndTheScript) {
  Chart chart = chart_of("a", {{1, 2, 2, 2, ""}});
  chart.series[0].label = "</script><b>";
  PageCharts page;
  EXPECT_EQ(unbalanced_tag(page.add("<b>", chart)), "");
  EXPECT_EQ(page.data().find('<'), std::string::npos);
  EXPECT_EQ(json::parse(page.data())["charts"]["a"]["series"][0]["label"], "</script><b>");
}

TEST(PageCharts, AWideChartComesAtThreeWidths) {
  PageCharts page;
  const std::string figure = page.add_wide(chart_of("wide", {{1, 2, 2, 2, ""}, {2, 3, 3, 3, ""}}));
  EXPECT_EQ(unbalanced_tag(figure), "");
  for (const char* part :
       {"<div class=\"narrow\"><svg viewBox=\"0 0 360 ", "<div class=\"middle\"><svg viewBox=\"0 0 700 ",
        "<div class=\"broad\"><svg viewBox=\"0 0 1120 ", "<figure data-chart=\"wide\">",
        "<clipPath id=\"wide-narrow\">", "<clipPath id=\"wide-broad\">"})
    EXPECT_EQ(occurrences(figure, part), 1u) << part;
  EXPECT_EQ(json::parse(page.data())["charts"].size(), 1u);
}

}  // namespace
}  // namespace gptmoe
