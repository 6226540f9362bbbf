// Runs on several ranks, started as users start them. They must give the curve of a single rank, and lose nothing when
// a rank dies.
#include <cmath>
#include <fstream>

#include "base/rng.h"
#include "cli/cli_fixture.h"
#include "support/sanitized.h"

#ifdef GPTMOE_MPI

namespace gptmoe::testing {
namespace {

using nlohmann::json;

// The process ids of a job's ranks; -1 for a rank that is not running.
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
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);  // MPI's libraries leak
  }

  // Writes a config with 8 sequences per step, for 1, 2 or 4 ranks.
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
    if (resume) words.insert(words.end(), {"--resume", "--restart"});  // the run may not have saved yet
    return words;
  }
  void train(const std::string& out, int ranks) {
    const ProcessResult result = run(folder(), command(out, ranks));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.err, "");
  }
  int64_t metrics_bytes() const {
    std::error_code none;
    const auto bytes = fs::file_size(files_ / "run/metrics.jsonl", none);
    return none ? 0 : static_cast<int64_t>(bytes);
  }
  // Trains run.json on two ranks, each in its own folder with its own shards. Rank 1 runs `program` with the extra
  // arguments `words`.
  ProcessResult train_apart(const std::string& words = "", const std::string& program = gptmoe_binary(),
                            const std::string& command = "train") {
    const auto rank = [&](int number, const std::string& path) {
      return text("-n 1 /bin/sh -c \"cd rank_", number, " && exec '", path, "' ", command, " ../run.json --out ../run ",
                  "--set data.train='train_*.bin' --set data.val='val_*.bin' ", number == 1 ? words : "", "\"");
    };
    return run(folder(), {"/bin/sh", "-c",
                          "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
                          "OMPI_MCA_rmaps_base_oversubscribe=1 mpirun -q " +
                              rank(0, gptmoe_binary()) + " : " + rank(1, program)});
  }
  void write_shards_apart() {
    for (const char* name : {"rank_0", "rank_1"}) {
      fs::create_directory(files_ / name);
      for (const char* shard : {"train_0.bin", "train_1.bin", "val_0.bin"}) {
        fs::remove(files_ / name / shard);
        fs::copy_file(files_ / shard, files_ / name / shard);
      }
    }
  }
  void expect_refusal(const ProcessResult& result, const std::string& what) {
    EXPECT_EQ(result.exit_code, 2) << result.err;
    expect_contains(result.err, "gptmoe: " + what + ": not the same on all ranks: ");
    expect_contains(result.err, " on rank 1 (");
    EXPECT_FALSE(fs::exists(files_ / "run"));
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

TEST_F(RanksCli, GiveTheCurveOfOneRank) {
  if (kSanitized) GTEST_SKIP() << "compares numbers; the other tests run the same code";
  for (int zero : {0, 1, 2}) {
    // Here evaluations are not preceded by checkpoints.
    write_run(
        40, {{"train", {{"eval_every", 3}}}, {"checkpoint", {{"every", 0}}}, {"distributed", {{"zero_stage", zero}}}});
    for (int ranks : {1, 2, 4}) train(text(zero, "_", ranks), ranks);
    for (int ranks : {2, 4}) expect_same_curve(files_ / text(zero, "_", ranks), files_ / text(zero, "_1"));
  }
}

TEST_F(RanksCli, GiveTheSameBitsTwice) {
  if (kSanitized) GTEST_SKIP() << "compares numbers; the other tests run the same code";
  for (int zero : {1, 2}) {
    write_run(
        40, {{"train", {{"micro_batch_size", 2}}}, {"distributed", {{"zero_stage", zero}, {"reduce_dtype", "bf16"}}}});
    train(text("once_", zero), 2);
    train(text("again_", zero), 2);
    expect_same_run(files_ / text("once_", zero), files_ / text("again_", zero));
  }
}

TEST_F(RanksCli, PrintTheirNumberAndRecordTheirTraffic) {
  write_run(60, {{"train", {{"eval_every", 1}, {"eval_tokens", 0}}}, {"distributed", {{"zero_stage", 1}}}});
  const ProcessResult result = run(folder(), command("run", 2));
  expect_contains(result.out, "ranks       2, micro-batches of 4");
  EXPECT_EQ(result.out.find("step 60/60"), result.out.rfind("step 60/60")) << "only rank 0 prints";
  std::ifstream metrics(files_ / "run/metrics.jsonl");
  double before = 0;
  int rows = 0;
  for (std::string line; std::getline(metrics, line);) {
    const json row = json::parse(line);
    if (row["event"] != "train") continue;
    ASSERT_TRUE(row.contains("communication")) << row;
    for (const char* traffic : {"gradients", "weights", "default_vectors"}) {
      EXPECT_GT(row["communication"][traffic]["bytes"], 0);
      EXPECT_GT(row["communication"][traffic]["seconds"], 0);
    }
    double waited = 0;
    for (const json& cost : row["communication"]) waited += cost["seconds"].get<double>();
    EXPECT_LE(waited, row["seconds"].get<double>() - before)
        << "waits of this step alone, without evaluations and earlier steps";
    before = row["seconds"];
    ++rows;
  }
  EXPECT_EQ(rows, 60);
}

TEST_F(RanksCli, ResumeWithAnotherNumberOfRanks) {
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
  write_shards_apart();
  for (const std::string key : {"optimizer.learning_rate", "distributed.heartbeat_seconds"})
    expect_refusal(train_apart("--set " + key + "=1"), key);
  // Ranks choose a size for "auto" together.
  for (const std::string command : {"train", "compare --seeds 2"})
    expect_refusal(train_apart("--set train.micro_batch_size=auto", gptmoe_binary(), command),
                   "train.micro_batch_size");
  // compare finds the checkpoint to start from once for all ranks.
  expect_refusal(train_apart("--set train.init_from=none", gptmoe_binary(), "compare --seeds 2"), "train.init_from");
}

TEST_F(RanksCli, RefuseDataThatDiffer) {
  write_run(4);
  for (const std::string set : {"train", "val"}) {
    write_shards_apart();
    write_random_shard(files_ / "rank_1" / (set + "_0.bin"), 29, set == "train" ? 67 : 80, 77);
    expect_refusal(train_apart(), "data." + set);
  }
}

// A relative train.init_from may lead to another checkpoint on each rank.
TEST_F(RanksCli, RefuseStartWeightsThatDiffer) {
  write_run(4, {{"checkpoint", {{"every", 2}, {"keep", 0}}}});
  train("source", 1);
  write_shards_apart();
  for (const char* rank : {"rank_0", "rank_1"}) copy_folder(files_ / "source", files_ / rank / "source");
  write_run(4, {{"train", {{"init_from", "source"}}}});
  fs::remove_all(files_ / "rank_1/source/checkpoints/step_00000004");
  expect_refusal(train_apart(), "the weights of train.init_from");
}

TEST_F(RanksCli, RefuseBuildsThatDiffer) {
  write_run(4);
  write_shards_apart();
  fs::copy_file(gptmoe_binary(), files_ / "other_gptmoe");
  append_text(files_ / "other_gptmoe", "another");
  expect_refusal(train_apart("", "../other_gptmoe"), "the build");
}

TEST_F(RanksCli, RefuseABatchTheyCannotShare) {
  write_run(4);
  const ProcessResult result = run(folder(), command("run", 3));
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err,
            "gptmoe: train.global_batch_size: 8 sequences cannot be shared equally by 3 ranks; make it a "
            "multiple of 3, or change the number of ranks\n");
}

// A single rank may be the first to see a value that is not finite. All ranks must then end this run and continue with
// the next one.
TEST_F(RanksCli, ContinueAComparisonAfterADivergence) {
  write_run(6, {{"optimizer", {{"grad_clip", 0}}}, {"schedule", {{"warmup_steps", 0}}}});
  const std::vector<std::string> command = {"compare", "run.json", "--ranks", "2",
                                            "--out",   "both",     "--sweep", "optimizer.learning_rate=1e30,1e-3"};
  const ProcessResult result = succeed(command);
  expect_contains(result.out, "diverged    ");
  EXPECT_TRUE(events_of(files_ / "both/run/learning_rate=1e30/seed_1").back().starts_with("diverged "));
  EXPECT_EQ(events_of(files_ / "both/run/learning_rate=1e-3/seed_1").back(), "eval 6");
  expect_contains(result.out, "report      both/report.html");
  const ProcessResult alone = run(folder(), {gptmoe_binary(), "train", "run.json", "--ranks", "2", "--out", "one",
                                             "--set", "optimizer.learning_rate=1e30"});
  EXPECT_EQ(alone.exit_code, 1);
  EXPECT_EQ(std::count(alone.err.begin(), alone.err.end(), '\n'), 1) << alone.err;
}

// mpirun may hang after its ranks have ended. This one does.
TEST_F(RanksCli, DoNotWaitForAnMpirunThatNeverReturns) {
  write_run(4, {{"distributed", {{"heartbeat_seconds", 1}}}});
  fs::create_directory(files_ / "bin");
  write_text_file(files_ / "bin/mpirun", "#!/bin/sh\nPATH=${PATH#*:}\nmpirun \"$@\"\nsleep 1000\n");
  fs::permissions(files_ / "bin/mpirun", fs::perms::owner_all);
  const std::string path = std::getenv("PATH");
  setenv("PATH", ((files_ / "bin").string() + ":" + path).c_str(), 1);
  const ProcessResult result = run(folder(), command("run", 2));
  setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(result.exit_code, 1);
  expect_contains(result.err,
                  "gptmoe: mpirun was still running 1 s after the last rank ended, so it was killed; continue with "
                  "--resume\n");
  expect_contains(result.out, "done ");
}

// If one rank is asked to stop, all stop after the same step.
TEST_F(RanksCli, StopTogether) {
  write_run(3000, {{"checkpoint", {{"every", 0}}}});
  Process process(folder(), command("run", 2));
  process.wait_until([&] { return metrics_bytes() > 2000; });
  const std::vector<pid_t> pids = rank_processes(folder(), 2);
  ASSERT_GT(pids[1], 0);
  ASSERT_EQ(::kill(pids[1], SIGTERM), 0);
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.exit_code, 128 + SIGTERM) << result.signal;
  EXPECT_EQ(result.err, "");
  expect_contains(result.out, "stopped     after step ");
  expect_contains(result.out, "--resume --ranks 2");
  EXPECT_TRUE(latest_checkpoint(files_ / "run"));
}

// The process that started the ranks passes a signal on, and ends with that signal's code.
TEST_F(RanksCli, StopWithTheLaunchingProcess) {
  write_run(3000, {{"checkpoint", {{"every", 0}}}});
  for (const int signal : {SIGINT, SIGTERM}) {
    const bool resume = signal == SIGTERM;
    Process process(folder(), command("run", 2, resume));
    const int64_t before = metrics_bytes();
    process.wait_until([&] { return metrics_bytes() > before + 2000; });
    process.kill(signal);
    const ProcessResult result = process.wait();
    EXPECT_EQ(result.exit_code, 128 + signal) << result.signal;
    EXPECT_EQ(result.err, "");
    expect_contains(result.out, "stopped     after step ");
  }
}

// If one rank is killed at any moment, the job ends, and resuming from its checkpoint gives the same run.
TEST_F(RanksCli, AKilledRankEndsTheJobAndNothingIsLost) {
  constexpr uint64_t kKills = kSanitized ? 6 : 20, kInTraining = kSanitized ? 1 : 5;
  write_run(2000,
            {{"train", {{"eval_every", 500}}}, {"checkpoint", {{"every", 50}}}, {"distributed", {{"zero_stage", 1}}}});
  train("whole", 2);
  const Rng rng(2025, 0);
  uint64_t in_training = 0;
  for (uint64_t kill = 0; kill < kKills; ++kill) {
    const int64_t before = metrics_bytes();
    Process process(folder(), command("run", 2, fs::exists(files_ / "run/config.json")));
    const bool early = kill % 2 != 0;
    std::vector<pid_t> pids;
    process.wait_until([&] {
      pids = rank_processes(folder(), 2);
      return all_there(pids) && (early || metrics_bytes() != before);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(rng.below(2 * kill, early ? 500 : 100)));
    const uint64_t victim = rng.below(2 * kill + 1, 2);
    const bool trained = metrics_bytes() != before;
    const bool killed = process.running() && pids[victim] > 0 && ::kill(pids[victim], SIGKILL) == 0;
    const auto start = std::chrono::steady_clock::now();
    const ProcessResult result = process.wait();
    if (!killed || result.exit_code == 0) continue;
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
    if (!trained) continue;
    ++in_training;
    expect_contains(result.err, text("rank ", victim));
  }
  EXPECT_GE(in_training, kInTraining);
  const ProcessResult result = run(folder(), command("run", 2, true));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_same_run(files_ / "whole", files_ / "run");
}

}  // namespace
}  // namespace gptmoe::testing

#endif
