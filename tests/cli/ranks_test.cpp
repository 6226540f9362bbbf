// Runs on several ranks, as users start them: one rank's curve, and nothing lost when a rank is.
#include <cmath>
#include <fstream>

#include "base/rng.h"
#include "cli/cli_fixture.h"

#ifdef GPTMOE_MPI

namespace gptmoe::testing {
namespace {

using nlohmann::json;

// The processes of a job, by rank; -1 for those that are not there (yet, or any more).
std::vector<pid_t> rank_processes(const fs::path& folder, int ranks) {
  std::vector<pid_t> pids(static_cast<size_t>(ranks), -1);
  std::error_code none;
  for (const auto& entry : fs::directory_iterator("/proc", none)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (fs::read_symlink(entry.path() / "cwd", none) != folder.parent_path()) continue;
    std::ifstream in(entry.path() / "environ");
    for (std::string variable; std::getline(in, variable, '\0');) {
      constexpr std::string_view kRank = "OMPI_COMM_WORLD_RANK=";
      if (variable.starts_with(kRank))
        pids.at(static_cast<size_t>(std::stoi(variable.substr(kRank.size())))) = std::stoi(name);
    }
  }
  return pids;
}

bool all_there(const std::vector<pid_t>& pids) {
  return std::all_of(pids.begin(), pids.end(), [](pid_t pid) { return pid > 0; });
}

class RanksCli : public CommandLine {
 protected:
  void SetUp() override {
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);  // LeakSanitizer, where it is, finds what MPI's libraries never free
  }

  // 8 sequences a step, for 1, 2 or 4 ranks.
  void write_run(int64_t steps, const json& changes = json::object()) {
    json run = {{"router", {{"type", "default"}}},
                {"train", {{"steps", steps}, {"micro_batch_size", 8}, {"global_batch_size", 8}, {"eval_every", 100}}},
                {"checkpoint", {{"every", 150}, {"keep", 2}}}};
    run.merge_patch(changes);
    write_config("run.json", run);
  }
  std::vector<std::string> command(const std::string& out, int ranks, bool resume = false) const {
    std::vector<std::string> words = {gptmoe_binary(),      "train", "run.json", "--out", out, "--ranks",
                                      std::to_string(ranks)};
    if (resume) words.push_back("--resume");
    return words;
  }
  void train(const std::string& out, int ranks) {
    const ProcessResult result = run(folder(), command(out, ranks));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.err, "");
  }
  void expect_same_curve(const fs::path& got, const fs::path& expected) {
    const std::vector<json> a = metrics_of(got), b = metrics_of(expected);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i)
      for (const char* key : {"loss", "val_loss", "grad_norm", "load_balance_loss"})
        if (b[i].contains(key)) {
          EXPECT_NEAR(a[i][key].get<double>(), b[i][key].get<double>(), 2e-4) << i << " " << key;
        }
  }
};

TEST_F(RanksCli, GiveOneRanksCurve) {
  for (int zero : {0, 1}) {
    write_run(40, {{"train", {{"eval_every", 20}}}, {"distributed", {{"zero_stage", zero}}}});
    for (int ranks : {1, 2, 4}) train(text(zero, "_", ranks), ranks);
    for (int ranks : {2, 4}) expect_same_curve(files_ / text(zero, "_", ranks), files_ / text(zero, "_1"));
  }
}

TEST_F(RanksCli, GiveTheSameBitsTwice) {
  write_run(40, {{"distributed", {{"zero_stage", 1}, {"reduce_dtype", "bf16"}}}});
  train("once", 2);
  train("again", 2);
  expect_same_run(files_ / "once", files_ / "again");
}

TEST_F(RanksCli, SayWhatTheyAreAndWhatTheySend) {
  write_run(4);
  const ProcessResult result = run(folder(), command("run", 2));
  expect_contains(result.out, "ranks       2, micro-batches of 4");
  EXPECT_EQ(result.out.find("step 4/4"), result.out.rfind("step 4/4")) << "rank 0 alone prints";
  std::ifstream metrics(files_ / "run/metrics.jsonl");
  std::string first;
  std::getline(metrics, first);
  const json row = json::parse(first);
  ASSERT_TRUE(row.contains("communication")) << row;
  EXPECT_GT(row["communication"]["gradients"]["bytes"], 0);
  EXPECT_GT(row["communication"]["gradients"]["seconds"], 0);
  EXPECT_GT(row["communication"]["default_vectors"]["bytes"], 0);
}

TEST_F(RanksCli, GoOnWithOtherRanks) {
  write_run(12, {{"checkpoint", {{"every", 4}, {"keep", 0}}}, {"distributed", {{"zero_stage", 1}}}});
  train("whole", 1);
  int ranks = 2;
  train("run", ranks);
  for (const int64_t step : {8, 4}) {
    cut_back(files_ / "run", step);
    ranks = ranks == 2 ? 4 : 1;
    const ProcessResult result = run(folder(), command("run", ranks, true));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expect_same_curve(files_ / "run", files_ / "whole");
  }
}

TEST_F(RanksCli, RefuseConfigsThatDiffer) {
  write_run(4);
  write_config("other.json", {{"optimizer", {{"learning_rate", 0.5}}}});
  const std::string launch =
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
      "OMPI_MCA_rmaps_base_oversubscribe=1 mpirun -q ";
  const ProcessResult result = run(folder(), {"/bin/sh", "-c",
                                              launch + "-n 1 '" + gptmoe_binary() + "' train run.json : -n 1 '" +
                                                  gptmoe_binary() + "' train other.json --out runs/run"});
  EXPECT_EQ(result.exit_code, 2) << result.err;
  expect_contains(result.err, "rank 1");
  EXPECT_FALSE(fs::exists(files_ / "runs/run/metrics.jsonl"));
}

TEST_F(RanksCli, RefuseABatchTheyCannotShare) {
  write_run(4);
  const ProcessResult result = run(folder(), command("run", 3));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err,
            "gptmoe: train.global_batch_size: 8 sequences cannot be shared alike by 3 ranks; make it a "
            "multiple of 3, or start another number of ranks\n");
}

// One of them is killed at any moment; the job ends, and what was saved goes on to the same run.
TEST_F(RanksCli, OneThatIsKilledEndsTheJobAndNothingIsLost) {
  constexpr int kKills = 20;
  write_run(400, {{"checkpoint", {{"every", 50}}}, {"distributed", {{"zero_stage", 1}}}});
  train("whole", 2);
  const Rng rng(2025, 0);
  bool started = false;
  for (uint64_t kill = 0; kill < kKills; ++kill) {
    Process process(folder(), command("run", 2, started));
    std::vector<pid_t> pids;
    process.wait_until([&] { return all_there(pids = rank_processes(folder(), 2)); });
    std::this_thread::sleep_for(std::chrono::milliseconds(rng.below(2 * kill, 700)));
    pids = rank_processes(folder(), 2);
    const uint64_t victim = rng.below(2 * kill + 1, 2);
    const bool killed = process.running() && pids[victim] > 0 && ::kill(pids[victim], SIGKILL) == 0;
    const auto start = std::chrono::steady_clock::now();
    const ProcessResult result = process.wait();
    if (killed) {
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
    }
    if (result.exit_code != 0) expect_contains(result.err, text("rank ", victim));
    started = started || fs::exists(files_ / "run/config.json");
  }
  const ProcessResult result = run(folder(), command("run", 2, started));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_same_run(files_ / "whole", files_ / "run");
}

}  // namespace
}  // namespace gptmoe::testing

#endif
