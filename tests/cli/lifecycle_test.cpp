// Extending and branching runs from the command line, and what the report says about such runs.
#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class LifecycleCli : public CommandLine {
 protected:
  void SetUp() override {
    write_config("run.json", {{"schedule", {{"type", "constant"}}}});
    succeed({"train", "run.json", "--out", "run"});
  }
};

TEST_F(LifecycleCli, ExtendsARunAndReportsIt) {
  expect_contains(succeed({"train", "run.json", "--out", "run", "--resume", "--set", "train.steps=20"}).out,
                  "resumed at step");
  expect_contains(succeed({"train", "run.json", "--out", "run", "--resume"}).out, "done");  // the old config, again
  succeed({"report", "run"});
  expect_contains(read_text_file(files_ / "run/report.html"), "run, from step 12: train.steps 12 → 20");
  const json report = json::parse(read_text_file(files_ / "run/report.json"));
  expect_contains(report.dump(), R"("changes":{"train.steps":{"is":20,"was":12}})");
}

TEST_F(LifecycleCli, BranchesARun) {
  const std::string before = read_text_file(files_ / "run/metrics.jsonl");
  const std::vector<std::string> branch = {
      "train", "run.json",          "--branch", "run/checkpoints/step_00000008", "--out", "decayed",
      "--set", "schedule.type=wsd", "--set",    "schedule.decay_steps=4"};
  succeed(branch);
  EXPECT_EQ(read_text_file(files_ / "run/metrics.jsonl"), before);
  EXPECT_EQ(latest_checkpoint(files_ / "decayed")->filename(), "step_00000012");
  EXPECT_EQ(metrics_of(files_ / "decayed").size(), metrics_of(files_ / "run").size())
      << "the branch also has the earlier rows";
  succeed({"report", "decayed"});
  expect_contains(read_text_file(files_ / "decayed/report.html"),
                  "schedule.type &quot;constant&quot; → &quot;wsd&quot;");
  refuse(branch, {"decayed: holds a run already"});
}

TEST_F(LifecycleCli, RefusesToBranchFromAMissingOrDifferentRun) {
  refuse({"train", "run.json", "--branch", "nowhere", "--out", "b"}, {"nowhere", "no such file or folder"});
  refuse({"train", "run.json", "--branch", "run", "--out", "b", "--set", "train.steps=20", "--set", "seed=9"},
         {"--branch run: was trained with seed = 1, now it is 9"});
  EXPECT_FALSE(fs::exists(files_ / "b"));
}

TEST_F(LifecycleCli, StartsFromTheWeightsOfARun) {
  const std::vector<std::string> start = {"train", "run.json", "--init-from", "run", "--out", "new"};
  expect_contains(succeed(start).out, "checkpoints/step_00000012 (step 12); optimizer, schedule and data begin anew");
  const auto first = metrics_of(files_ / "new").front(), last = metrics_of(files_ / "run").back();
  EXPECT_EQ(first["step"], 0);
  EXPECT_EQ(first["val_loss"], last["val_loss"]);
  succeed({"report", "new"});
  refuse({"train", "run.json", "--init-from", "run", "--branch", "run", "--out", "b"}, {"--init-from"});
  refuse({"train", "run.json", "--init-from", "nowhere", "--out", "b"}, {"nowhere", "no such file or folder"});
  EXPECT_FALSE(fs::exists(files_ / "b"));
  fs::rename(files_ / "run", files_ / "elsewhere");  // a branch of the new run does not need the old run
  succeed(
      {"train", "run.json", "--set", "train.init_from=run", "--branch", "new/checkpoints/step_00000008", "--out", "b"});
}

}  // namespace
}  // namespace gptmoe::testing
