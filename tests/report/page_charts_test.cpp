#include "report/page_charts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <set>

#include "report/comparison.h"
#include "report/html_report.h"
#include "report/made_runs.h"
#include "report/number_text.h"
#include "report/page_files.h"
#include "report/sweep.h"
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
    row.grad_norm = 1;
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

// ---- What the page's script relies on. tools/bench/peers/report_check.py runs the script itself. --------------------

// The first group of every match of `pattern` in a text.
std::set<std::string> found(const std::string& in, const std::string& pattern) {
  const std::regex regex(pattern);
  std::set<std::string> all;
  for (auto match = std::sregex_iterator(in.begin(), in.end(), regex); match != std::sregex_iterator(); ++match)
    all.insert((*match)[1]);
  return all;
}

const std::string& script() {
  static const std::string text = std::string(kChartDrawing) + kPageScript;
  return text;
}

// Two arms of two seeds with a gap, and a sweep of them.
std::string full_page() {
  const auto point = [](const std::string& family, const std::string& rate, double last) {
    return Arm{family + " " + rate,
               {trained({80, 60, last}), trained({81, 61, last + 1})},
               family,
               {{"optimizer.learning_rate", rate}}};
  };
  const Sweep sweep = sweep_of({point("topk", "1e-3", 50), point("topk", "2e-3", 52), point("default", "1e-3", 49),
                                point("default", "2e-3", 51)});
  return html_report(compare_best(sweep), &sweep);
}

TEST(PageScript, FindsWhatItLooksForInThePage) {
  const std::string markup = without_scripts(full_page());
  for (const std::string& id : found(script(), "getElementById\\('([^']+)'\\)"))
    EXPECT_NE(markup.find("id=\"" + id + "\""), std::string::npos) << id;
  const std::set<std::string> data = found(script(), "dataset\\.([a-z]+)");
  EXPECT_TRUE(data.contains("chart"));
  for (const std::string& name : data) EXPECT_NE(markup.find(" data-" + name + "=\""), std::string::npos) << name;
  // A class in a selector is in the markup, or the script sets it.
  const std::set<std::string> classes =
      found(script(), "(?:querySelector|querySelectorAll|closest)\\([`'][^`')]*\\.([a-z]+)");
  EXPECT_TRUE(classes.contains("head"));
  for (const std::string& name : classes)
    EXPECT_TRUE(found(markup, "class=\"(?:[^\"]* )?(" + name + ")[ \"]").contains(name) ||
                found(script(), "class(?:Name = '|=\"|', ')(" + name + ")['\" ]").contains(name))
        << name;
}

TEST(PageScript, ReadsFieldsThatTheDataHave) {
  const json data = data_in(full_page());
  const json& chart = data["charts"]["by-tokens"];
  for (const auto& [name, fields] : {std::pair<std::string, json>{"chart\\.x", chart["x"]},
                                     {"chart\\.y", chart["y"]},
                                     {"series", chart["series"][0]},
                                     {"page", data}}) {
    const std::set<std::string> read = found(script(), "\\b" + name + "\\.([a-z]+)\\b(?!\\()");
    EXPECT_FALSE(read.empty()) << name;
    for (const std::string& field : read) EXPECT_TRUE(fields.contains(field)) << name << " has no " << field;
  }
}

TEST(PageScript, WritesTokensInTheUnitsOfTheAxis) {
  const std::set<std::string> powers = found(script(), "\\[1e([0-9]+), ' [kMGTP]'\\]");
  EXPECT_EQ(powers, (std::set<std::string>{"3", "6", "9", "12"}));
  for (const std::string& power : powers) {
    const std::string words = tokens_text(std::pow(10.0, std::stoi(power)));  // "1.00 G"
    EXPECT_NE(script().find("[1e" + power + ", '" + words.substr(words.find(' ')) + "']"), std::string::npos) << words;
  }
}

TEST(PageScript, EveryFigureHasNumbersAndEveryNameInALegendItsLine) {
  const std::string page = full_page(), markup = without_scripts(page);
  const json charts = data_in(page)["charts"];
  const std::string open = "<figure data-chart=\"";
  size_t figures = 0;
  for (size_t at = markup.find(open); at != std::string::npos; at = markup.find(open, at + 1)) {
    ++figures;
    const std::string figure = markup.substr(at, markup.find("</figure>", at) - at);
    const std::string id = figure.substr(open.size(), figure.find('"', open.size()) - open.size());
    ASSERT_TRUE(charts.contains(id)) << id;
    EXPECT_EQ(occurrences(figure, "<svg"), occurrences(figure, "data-frame=")) << id;
    size_t labelled = 0;
    for (size_t i = 0; i < charts[id]["series"].size(); ++i) {
      const std::string label = charts[id]["series"][i]["label"];
      if (label.empty()) continue;
      ++labelled;
      const std::string entry = "<g class=\"entry\" data-series=\"" + std::to_string(i) + "\">";
      ASSERT_EQ(occurrences(figure, entry), occurrences(figure, "<svg")) << id << ", line " << i;
      const size_t text = figure.find("<text", figure.find(entry));
      EXPECT_EQ(figure.substr(figure.find('>', text) + 1, label.size()), label) << id;
    }
    EXPECT_EQ(occurrences(figure, "class=\"entry\""), labelled * occurrences(figure, "<svg")) << id;
  }
  EXPECT_EQ(figures, charts.size());
}

TEST(PageScript, IdsAreUniqueAndThoseThatAreNamedAreThere) {
  const std::string page = full_page();
  const std::regex id(" id=\"([^\"]+)\"");
  std::set<std::string> ids;
  const std::string markup = without_scripts(page);
  for (auto match = std::sregex_iterator(markup.begin(), markup.end(), id); match != std::sregex_iterator(); ++match) {
    EXPECT_TRUE(ids.insert((*match)[1]).second) << (*match)[1];
    EXPECT_FALSE((*match)[1].str().starts_with("drawn-")) << "the script sets these on the charts that it draws";
  }
  EXPECT_GT(ids.size(), 5u);
  for (const std::string& named : found(markup, "url\\(#([^)]+)\\)")) EXPECT_TRUE(ids.contains(named)) << named;
}

}  // namespace
}  // namespace gptmoe
