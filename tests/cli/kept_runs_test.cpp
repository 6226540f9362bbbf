// Reports of the runs kept in docs/results/runs.
#include "cli/cli_fixture.h"
#include "support/test_folders.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

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

// Two seeds end 4 % behind and one ends level. The paired t is 1.9, which is not significant with three seeds.
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

}  // namespace
}  // namespace gptmoe::testing
