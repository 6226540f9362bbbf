// The section of a report that shows an analysis.json, and the measures of collapse.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "base/check.h"
#include "records/record_json.h"
#include "report/analysis_charts.h"
#include "report/analysis_section.h"
#include "report/collapse.h"
#include "report/html_report.h"
#include "report/made_runs.h"
#include "report/tag_balance.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;

// Layers 1 and 2, three experts, two per token.
Json made_analysis() {
  Json json = Json::parse(
      R"({"checkpoint": "c", "step": 7, "router": "topk", "data": "d", "routing_batches": 2, "layers": [1, 2], "experts": 3, "experts_per_token": 2,
    "batch_tokens": 64, "routing_tokens": 128, "gradient_batches": 2, "notes": ["A <note>."],
    "router_entropy": [1.0, 0.5], "expert_load": [[0.5, 0.3, 0.2], [1, 0, 0]],
    "coactivation": [[[1, 0.6, 0.4], [1, 1, 0], [1, 0, 1]], [[1, 0, 0], [null, null, null], [null, null, null]]],
    "domains": {"names": ["prose", "code"], "data": ["p", "c"], "tokens": 4096,
      "expert_share": [[[0.5, 0.5, 0], [0.25, 0.25, 0.5]], [[1, 0, 0], [null, null, null]]],
      "mean_share": [[0.375, 0.375, 0.25], [null, null, null]], "distance": [0.25, null]},
    "default_vectors": {"source": "estimated", "norm": [[1, 2, 3], [1, 2, 0]], "mean_cosine": [0.25, null],
      "cosine": [[[1, 0, 0.5], [0, 1, 0.25], [0.5, 0.25, 1]], [[1, 0, null], [0, 1, null], [null, null, null]]]},
    "default_error": {"chosen": {"error": [[1, 1, 1], [1, null, null]], "expert_norm": [[2, 2, 2], [2, null, null]]},
                      "others": {"error": [[1, 2, 3], [4, 4, 4]], "expert_norm": [[2, 2, 2], [2, 2, 2]]}},
    "gradient_similarity": [],
    "collapse": {"dead_below": 0.1, "evals": [
      {"step": 1, "tokens": 10, "dead_experts": [0, 1], "load_max": [1.5, 2], "load_min": [0.5, 0], "entropy_share": [0.9, 0.8]},
      {"step": 2, "tokens": 20, "dead_experts": [0, 2], "load_max": [1.5, 3], "load_min": [0.5, 0], "entropy_share": [0.9, null]}]}})");
  for (const char* scope : {"router", "model"})
    for (const char* method : {"topk", "default"})
      for (const int K : {1, 2}) {
        const Json spread = {{"mean", 0.5 * K}, {"std", 0.125}}, lower = {{"mean", 0.25 * K}, {"std", 0.125}};
        json["gradient_similarity"].push_back({{"method", method},
                                               {"scope", scope},
                                               {"experts_per_token", K},
                                               {"cosine", {lower, spread}},
                                               {"norm_ratio", {spread, spread}}});
      }
  return json;
}

AnalysisLog made_log() { return parse_analysis(made_analysis(), "made.json"); }

TEST(AnalysisLog, ReadsEveryField) {
  const AnalysisLog log = made_log();
  EXPECT_EQ(log.step, 7);
  EXPECT_EQ(log.layers, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(log.domains, (std::vector<std::string>{"prose", "code"}));
  EXPECT_EQ(log.domain_tokens, 4096);
  EXPECT_EQ(log.domain_share[0][1][2], 0.5);
  EXPECT_EQ(log.domain_mean[0][2], 0.25);
  EXPECT_EQ(log.domain_distance[0], 0.25);
  EXPECT_EQ(log.default_source, "estimated");
  EXPECT_EQ(log.expert_load[0][1], 0.3);
  EXPECT_TRUE(std::isnan(log.coactivation[1][2][0]));
  EXPECT_EQ(log.cosine[0][2][1], 0.25);
  EXPECT_EQ(log.others_error[1][0], 4);
  EXPECT_EQ(log.chosen_norm[0][2], 2);
  ASSERT_NE(log.find("default", "model", 2), nullptr);
  EXPECT_EQ(log.find("default", "model", 2)->cosine[1].mean, 1);
  EXPECT_EQ(log.find("default", "model", 2)->norm_ratio[0].std, 0.125);
  EXPECT_EQ(log.find("default", "model", 3), nullptr);
  EXPECT_EQ(log.collapse.evals[1].dead_experts[1], 2);
}

TEST(AnalysisLog, WritesWhatItRead) {
  const Json json = made_analysis();
  Json written = record_json(parse_analysis(json, "made.json"));
  EXPECT_EQ(nlohmann::json(written), nlohmann::json(json)) << written.dump();
  EXPECT_EQ(written.begin().key(), "checkpoint");
}

TEST(AnalysisLog, AbsentTablesStayEmpty) {
  Json json = made_analysis();
  for (const char* field : {"coactivation", "domains", "default_vectors", "default_error"}) json[field] = nullptr;
  json["gradient_similarity"] = json["collapse"]["evals"] = Json::array();
  const auto section = [&] {
    PageCharts page;
    return analysis_section(parse_analysis(json, "made.json"), "a", "", page);
  };
  const std::string html = section();
  EXPECT_EQ(unbalanced_tag(html), "");
  EXPECT_EQ(occurrences(html, "<svg"), 1u);
  EXPECT_NE(html.find("No co-activation"), std::string::npos);
  json.erase("domains");
  EXPECT_EQ(section(), html) << "a file of an earlier version";
}

TEST(AnalysisLog, NamesAMalformedFile) {
  const auto refused = [](const Json& json) {
    try {
      parse_analysis(json, "runs/a/analysis.json");
    } catch (const UserError& error) {
      const std::string line = error.what();
      EXPECT_EQ(line.find('\n'), std::string::npos);
      EXPECT_TRUE(line.starts_with("runs/a/analysis.json: ")) << line;
      EXPECT_NE(line.find("run gptmoe analyze again"), std::string::npos) << line;
      return;
    }
    ADD_FAILURE() << "accepted: " << json;
  };
  refused(Json::array());
  refused(Json::parse("{", nullptr, false));
  for (const char* field : {"layers", "expert_load", "collapse", "gradient_similarity", "default_error"}) {
    Json json = made_analysis();
    json.erase(field);
    refused(json);
  }
  Json shape = made_analysis();
  shape["expert_load"][1].push_back(0);
  refused(shape);
  shape = made_analysis();
  shape["domains"]["names"].push_back("a third");
  refused(shape);
  shape = made_analysis();
  shape["domains"]["mean_share"][1].push_back(0);
  refused(shape);
  shape = made_analysis();
  shape["default_vectors"]["cosine"].push_back(Json::array());
  refused(shape);
  shape = made_analysis();
  shape["gradient_similarity"][0]["cosine"].push_back({{"mean", 1}, {"std", 0}});
  refused(shape);
  shape = made_analysis();
  shape["collapse"]["evals"][0]["load_max"] = "high";
  refused(shape);
}

TEST(AnalysisSection, ShowsEveryTable) {
  PageCharts page;
  const std::string html = analysis_section(made_log(), "analysis-0", "runs/<a>", page);
  EXPECT_EQ(unbalanced_tag(html), "");
  // One chart of load; two each of co-activation, domains, cosines and error; four charts and four heatmaps of
  // gradients; three charts of collapse.
  EXPECT_EQ(occurrences(html, "<svg"), 1u + 2 + 2 + 2 + 2 + 4 + 4 + 3);
  EXPECT_NE(html.find("Analysis of runs/&lt;a&gt;"), std::string::npos);
  EXPECT_NE(html.find("A &lt;note&gt;."), std::string::npos);
  EXPECT_NE(html.find("expert 0, expert 1: 0.600"), std::string::npos) << "co-activation";
  EXPECT_NE(html.find("layer 2, expert 0: 3.000"), std::string::npos) << "load, three times its fair share";
  EXPECT_NE(html.find("expert 2, expert 0: 0.500"), std::string::npos) << "cosine";
  EXPECT_NE(html.find("code, expert 2: 1.500"), std::string::npos)
      << "a share of a half, relative to an even share of a third";
  EXPECT_NE(html.find("mean, expert 2: 0.750"), std::string::npos)
      << "a share of a quarter, relative to an even share of a third";
  EXPECT_NE(html.find("layer 1, expert 2: 1.500"), std::string::npos) << "error";
  EXPECT_NE(html.find("layer 1, K = 2: 0.500"), std::string::npos) << "gradients";
}

TEST(AnalysisSection, ManyLayersShowAFewMapsIncludingTheFirstAndTheLast) {
  AnalysisLog log = made_log();
  const auto tables = log.cosine[0];
  log.layers.clear(), log.cosine.clear();
  for (int64_t l = 0; l < 24; ++l) log.layers.push_back(l), log.cosine.push_back(tables);
  const auto maps = cosine_maps(log);
  ASSERT_EQ(maps.size(), 8u);
  EXPECT_EQ(maps.front().first, "layer 0");
  EXPECT_EQ(maps.back().first, "layer 23");
}

TEST(AnalysisCharts, DomainMapsShareOneScaleAndShortenNames) {
  AnalysisLog log = made_log();
  log.domains[0] = "minutes of the town council";
  const auto maps = domain_maps(log);
  ASSERT_EQ(maps.size(), 2u);
  EXPECT_EQ(maps[1].first, "layer 2");
  EXPECT_EQ(maps[0].second.row_labels, (std::vector<std::string>{"minutes of the town…", "code", "mean"}));
  for (const auto& [title, map] : maps)
    EXPECT_EQ(map.full, 3) << "in layer 2 one expert has a share of 1, relative to an even share of a third";
}

TEST(AnalysisCharts, SimilarityIsTheMeanOverLayersWithTheirRange) {
  const Chart chart = similarity_chart(made_log(), "router", "id");
  ASSERT_EQ(chart.series.size(), 2u);
  ASSERT_EQ(chart.series[0].points.size(), 2u);
  const ChartPoint& point = chart.series[0].points[1];
  EXPECT_EQ(point.x, 2);
  EXPECT_DOUBLE_EQ(point.y, 0.75);
  EXPECT_EQ(point.low, 0.5);
  EXPECT_EQ(point.high, 1);
}

TEST(AnalysisTable, HasALinePerLayerAndFitsATerminal) {
  const std::string table = analysis_table(made_log());
  EXPECT_NE(
      table.find("1      1.000    1.50×    0.60×   0.250    0.250    1.00×  0.500     0.500     0.500    0.500\n"),
      std::string::npos)
      << table;
  EXPECT_NE(table.find("2      0.500    3.00×    0.00×   unknown  unknown  2.00×  1.000 "), std::string::npos) << table;
  EXPECT_NE(table.find("K = 2"), std::string::npos);
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 104u) << line;  // × is two bytes
}

TEST(Collapse, CountsDeadExpertsPerLayer) {
  RunLog run = run_of({80, 60, 50}, 3);
  run.evals[1].expert_load = {{0.5, 0.26, 0.24}, {0.97, 0.03, 0.0}};
  run.evals[1].router_entropy = {std::log(3.0), 0.5 * std::log(3.0)};
  const auto points = collapse_of(run);
  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(points[0].tokens, 200);
  EXPECT_EQ(points[0].dead_experts, (std::vector<int64_t>{0, 2}));  // 0.03 is below a tenth of 1/3
  EXPECT_DOUBLE_EQ(points[0].load_max[1], 2.91);
  EXPECT_DOUBLE_EQ(points[0].load_min[0], 0.72);
  EXPECT_DOUBLE_EQ(points[0].entropy_share[1], 0.5);
}

TEST(HtmlReport, ShowsTheAnalysisThatARunHas) {
  TemporaryFolder folder;
  write_run(folder / "run", train_line(1, 10, 100) + eval_line(1, 10, 3, 1));
  const auto html = [&] { return html_report(compare({{"run", {read_run(folder / "run")}}})); };
  EXPECT_EQ(html().find("<h2>Analysis"), std::string::npos);
  std::ofstream(folder / "run" / kAnalysisFile) << made_analysis();
  EXPECT_NE(html().find("<h2>Analysis</h2>"), std::string::npos);
  EXPECT_EQ(unbalanced_tag(html()), "");
  const RunLog run = read_run(folder / "run");
  const std::string both = html_report(compare({{"a", {run}}, {"b", {run}}}));
  EXPECT_EQ(occurrences(both, "<h2>Analysis of "), 2u);
  EXPECT_EQ(occurrences(both, "id=\"analysis-1-dead"), occurrences(both, "id=\"analysis-0-dead"));
  std::ofstream(folder / "run" / kAnalysisFile) << "{";
  EXPECT_THROW(html(), UserError);
}

TEST(HtmlReport, ShowsTheLoadsOfTrainingSteps) {
  RunLog run = run_of({80}, 1);
  TrainRow row;
  row.tokens = 10;
  EXPECT_EQ(html_report(compare({{"run", {run}}})).find("largest expert load"), std::string::npos);
  row.expert_load_max = 0.5, row.expert_load_min = 0.1;
  run.train = {row};
  const std::string html = html_report(compare({{"run", {run}}}));
  EXPECT_NE(html.find("largest expert load"), std::string::npos);
  EXPECT_NE(html.find("smallest expert load"), std::string::npos);
}

}  // namespace
}  // namespace gptmoe
