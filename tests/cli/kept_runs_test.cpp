// Reports of the runs kept in docs/results/runs.
#include "cli/cli_fixture.h"
#include "support/test_folders.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;
using Names = std::vector<std::string>;

class KeptRuns : public CommandLine {
 protected:
  static std::string kept(const std::string& arm) {
    return source_folder() + "/docs/results/runs/" + arm + "/learning_rate=4e-3";
  }
  json report_of(const std::string& shape) {
    succeed({"report", kept(shape + "_topk"), kept(shape + "_default"), "--out", shape});
    return json::parse(read_text_file(files_ / shape / "report.json"));
  }
  static void expect_gap(const json& report, const std::string& verdict, const std::string& words) {
    EXPECT_EQ(report["arms"][1]["matched_gap"]["verdict"], verdict);
    expect_contains(report["headline"].get<std::string>(), words);
  }
};

// Two seeds end 4 % behind the baseline, and one ends level with it. The paired t is 1.9, which is not significant with
// three seeds.
TEST_F(KeptRuns, ThreeSeedsOf8c2LeaveTheGapUndecided) {
  expect_gap(report_of("8c2"), "undecided", "2.6 % higher (undecided; 95 % interval −3.2 to +8.9 %)");
}

TEST_F(KeptRuns, ThreeSeedsOf8c1DecideTheGap) {
  expect_gap(report_of("8c1"), "worse", "3.4 % higher (worse; 95 % interval +2.4 to +4.5 %)");
}

// These runs were made before runs recorded their build and machine.
TEST_F(KeptRuns, SpeedsOfRunsWithoutARecordAreNotCompared) {
  const json report = report_of("32c1");
  EXPECT_TRUE(report["arms"][1]["throughput_ratio"].is_null());
  expect_contains(report["notes"].dump(), "has no record of its build and machine");
}

Names labels_in(const json& arms) {
  Names labels;
  for (const json& arm : arms) labels.push_back(arm["label"]);
  return labels;
}

TEST_F(KeptRuns, HaveShortLabelsInEveryReport) {
  const std::string map = source_folder() + "/docs/results/map/";
  Names command = {"report", "--out", "four", "--svg", "charts"};
  for (const char* router : {"8c1_topk", "8c1_default"})
    for (const char* rate : {"2e-3", "4e-3"}) command.push_back(map + router + "/learning_rate=" + rate);
  const ProcessResult result = succeed(command);
  const json report = json::parse(read_text_file(files_ / "four/report.json"));
  EXPECT_EQ(labels_in(report["arms"]), (Names{"topk 2e-3", "topk 4e-3", "default 2e-3", "default 4e-3"}));
  expect_contains(result.out, "topk 2e-3");
  expect_contains(read_text_file(files_ / "four/report.html"), ">default 4e-3</text>");
  EXPECT_TRUE(fs::exists(files_ / "charts/load_topk 4e-3.svg"));
}

TEST_F(KeptRuns, AreNamedByLabels) {
  succeed({"report", kept("8c1_topk"), kept("8c1_default"), "--label", "Top 1", "--label", "Ours", "--out", "pair"});
  EXPECT_EQ(labels_in(json::parse(read_text_file(files_ / "pair/report.json"))["arms"]), (Names{"Top 1", "Ours"}));
  refuse({"report", kept("8c1_topk"), kept("8c1_default"), "--label", "Ours", "--out", "none"},
         {"--label: 1 label for 2: ", "give one for each"});
  EXPECT_FALSE(fs::exists(files_ / "none"));
}

TEST_F(KeptRuns, OfASweepAreNamedByTheirConfigs) {
  fs::create_directory(files_ / "runs");
  for (const char* config : {"8c1_topk", "8c1_default"})
    fs::copy(source_folder() + "/docs/results/map/" + config, files_ / "runs" / config, fs::copy_options::recursive);
  succeed({"report", "runs", "--out", "map", "--label", "ours", "--label", "theirs"});
  const json report = json::parse(read_text_file(files_ / "map/report.json"));
  EXPECT_EQ(labels_in(report["arms"]), (Names{"ours", "theirs"}));
  EXPECT_EQ(report["sweep"]["points"].back()["arm"]["label"], "theirs learning_rate=16e-3");
  const std::string html = read_text_file(files_ / "map/report.html");
  for (const char* tick : {">1e-3</text>", ">2e-3</text>", ">4e-3</text>", ">8e-3</text>", ">16e-3</text>"})
    expect_contains(html, tick);
}

}  // namespace
}  // namespace gptmoe::testing
