// tools/thin_runs.sh: what it keeps of a run, and that a report of the thinned copy agrees with one of the original.
#include "base/lock.h"
#include "cli/cli_fixture.h"
#include "support/test_folders.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class ThinRuns : public CommandLine {
 protected:
  static std::string train_line(int64_t step, double loss) {
    return json{{"event", "train"}, {"step", step},     {"tokens", 100 * step},        {"loss", loss},
                {"lr", 1e-3},       {"grad_norm", 1.0}, {"tokens_per_second", 1000.0}, {"seconds", 1.0 * double(step)}}
               .dump() +
           "\n";
  }
  // The line with its keys in the trainer's order.
  static std::string ordered(const std::string& line) {
    const nlohmann::ordered_json row = json::parse(line);
    nlohmann::ordered_json out = {{"event", row["event"]}, {"step", row["step"]}};
    out.update(row);
    return out.dump() + "\n";
  }
  void write_run(const std::string& name, const std::string& metrics) {
    fs::create_directories(files_ / name);
    write_text_file(files_ / name / "config.json", R"({"train": {"steps": 250}})");
    write_text_file(files_ / name / "metrics.jsonl", metrics);
  }
  void thin(const std::string& from, const std::string& to) {
    const ProcessResult result =
        run(folder(), {"/usr/bin/env", "GPTMOE=" + gptmoe_binary(), source_folder() + "/tools/thin_runs.sh", from, to});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
};

TEST_F(ThinRuns, KeepsEveryHundredthRowAndTheNumberOfSpikes) {
  std::string metrics;
  for (int64_t step = 1; step <= 250; ++step)
    metrics += ordered(train_line(step, step == 177 ? 9 : 4 + 0.1 * static_cast<double>(step % 2)));
  metrics += R"({"event":"eval","step":250,"tokens":25000,"val_loss":4.0,"seconds":250.0})"
             "\n";
  write_run("from/a/seed_1", metrics + R"({"event":"train","st)");
  write_text_file(files_ / "from/a/seed_1/jobs.json", R"({"at_once": 2})");
  thin("from", "to");
  EXPECT_EQ(events_of(files_ / "to/a/seed_1"),
            (std::vector<std::string>{"thinned 0", "train 100", "train 200", "eval 250"}));
  const json first = metrics_of(files_ / "to/a/seed_1")[0];
  EXPECT_EQ(first["train_rows"], 250);
  EXPECT_EQ(first["loss_spikes"], 1);
  EXPECT_TRUE(fs::exists(files_ / "to/a/seed_1/jobs.json"));
  succeed({"report", "to/a", "--out", "thinned"});
  EXPECT_EQ(json::parse(read_text_file(files_ / "thinned/report.json"))["arms"][0]["spikes_per_run"], 1);

  thin("to", "again");
  EXPECT_EQ(read_text_file(files_ / "again/a/seed_1/metrics.jsonl"),
            read_text_file(files_ / "to/a/seed_1/metrics.jsonl"));
}

TEST_F(ThinRuns, TwoScriptsDoNotWriteTheSameFolder) {
  write_run("from/a", ordered(train_line(7, 4)));
  const OutputLock other(files_ / "to", "");
  const ProcessResult refused = run(
      folder(), {"/usr/bin/env", "GPTMOE=" + gptmoe_binary(), source_folder() + "/tools/thin_runs.sh", "from", "to"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_EQ(refused.err, "to: another process is writing runs there; wait for it or choose another folder\n");
  EXPECT_FALSE(fs::exists(files_ / "to"));
}

TEST_F(ThinRuns, ARunWithNothingToKeepDoesNotStopTheScript) {
  write_run("from/a", "");
  write_run("from/b", ordered(train_line(7, 4)));
  write_run("from/c", R"({"event":"diverged","step":3,"tokens":200,"seconds":1.0})"
                      "\n");
  thin("from", "to");
  EXPECT_EQ(events_of(files_ / "to/a"), std::vector<std::string>{"thinned 0"});
  EXPECT_EQ(events_of(files_ / "to/b"), std::vector<std::string>{"thinned 0"});
  EXPECT_TRUE(metrics_of(files_ / "to/b")[0]["loss_spikes"].is_null());
  EXPECT_EQ(events_of(files_ / "to/c"), (std::vector<std::string>{"thinned 0", "diverged 3"}));
}

}  // namespace
}  // namespace gptmoe::testing
