// What each subcommand prints and writes on success.
#include <cmath>
#include <cstdlib>

#include "cli/cli_fixture.h"
#include "support/open_file_limit.h"
#include "support/sanitized.h"
#include "support/test_folders.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class Commands : public CommandLine {};

TEST_F(Commands, EvalAgreesWithTrain) {
  write_config("run.json", {{"train", {{"eval_tokens", 42}}}, {"router", {{"type", "default"}}}});
  const ProcessResult trained = succeed({"train", "run.json", "--out", "out/run"}, {.threads = 2});
  expect_contains(trained.out, "router      default");
  expect_contains(trained.out, "step 12/12  loss ");
  expect_contains(trained.out, "done        168 tokens");

  const json last = metrics_of(files_ / "out/run").back();
  const ProcessResult scored = succeed({"eval", "out/run", "--tokens", "42"}, {.threads = 2});
  expect_contains(scored.out, "step_00000012: loss ");
  expect_contains(scored.out, "over 42 tokens");
  const double loss = std::atof(scored.out.substr(scored.out.find("loss ") + 5).c_str());
  EXPECT_NEAR(loss, last["val_loss"].get<double>(), 1e-6);
  const ProcessResult elsewhere =
      succeed({"eval", "out/run", "--tokens", "42", "--device", "cpu", "--precision", "f32"}, {.threads = 2});
  EXPECT_EQ(elsewhere.out, scored.out);
  const ProcessResult other = succeed({"eval", "out/run/checkpoints/step_00000004", "--data", "train_0.bin"});
  expect_contains(other.out, "step_00000004: loss ");
  expect_contains(other.out, "over 63 tokens of train_0.bin");
}

TEST_F(Commands, TheDefaultRunDirectoryIsNamedAfterTheConfig) {
  write_config("tiny.json");
  succeed({"train", "tiny.json", "--set", "train.steps=3", "--set", "seed=5"});
  EXPECT_TRUE(fs::exists(files_ / "runs/tiny/checkpoints/step_00000003"));
  EXPECT_EQ(json::parse(read_text_file(files_ / "runs/tiny/config.json"))["seed"], 5);
}

TEST_F(Commands, GeneratePrintsThePromptFirst) {
  const std::string tokenizer = source_folder() + "/tests/tokenizer/golden/tokenizer.json";
  write_random_shard(files_ / "words.bin", 401, 200, 9);
  write_config("run.json", {{"model", {{"vocab_size", 401}, {"max_position_embeddings", 24}}},
                            {"data", {{"train", files_ / "words.bin"}, {"val", ""}, {"tokenizer", tokenizer}}}});
  succeed({"train", "run.json", "--out", "run"});
  const std::vector<std::string> command = {"generate", "run", "--prompt", "In the beginning", "--tokens", "40"};
  const auto generate = [&](const std::vector<std::string>& arguments) {  // the generated text may contain any byte
    const ProcessResult result = gptmoe(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return result;
  };
  const ProcessResult first = generate(command);
  EXPECT_TRUE(first.out.starts_with("In the beginning")) << first.out;
  EXPECT_TRUE(first.out.ends_with("\n"));
  EXPECT_GT(first.out.size(), sizeof("In the beginning"));
  EXPECT_EQ(generate(command).out, first.out);
  auto seeded = command;
  seeded.insert(seeded.end(), {"--seed", "2"});
  EXPECT_NE(generate(seeded).out, first.out);
  generate({"generate", "run", "--tokens", "3", "--temperature", "0"});  // no prompt
}

TEST_F(Commands, PlanListsEveryArenaAndRunsNothing) {
  write_config("run.json", {{"data", {{"train", "not_there_yet_*.bin"}}}});
  const ProcessResult result = succeed({"plan", "run.json"});
  for (const char* line : {"parameters", "gradients", "optimizer", "state", "activations", "scratch", "total",
                           "program", "peak resident", "available", "forward per token", "whole run"})
    expect_contains(result.out, "\n  " + std::string(line) + " ");
  expect_contains(result.out, "\nfits; train.micro_batch_size may be up to 2 (it must divide ");
  EXPECT_FALSE(fs::exists(files_ / "runs"));
}

// A step has three micro-batches of 2 x 7 tokens.
TEST_F(Commands, PlanPrintsTheTokensThatDefaultVectorsAverageOver) {
  const auto planned = [&](const char* update, std::vector<std::string> more = {}) {
    write_config("run.json", {{"train", {{"global_batch_size", 6}}},
                              {"router", {{"type", "default"}, {"ema_beta", 0.95}, {"ema_update", update}}}});
    more.insert(more.begin(), {"plan", "run.json"});
    return succeed(more).out;
  };
  expect_contains(planned("forward"), "\naverage     default vectors over 280 tokens: 20.0 micro-batches of 14\n");
  expect_contains(planned("forward", {"--ranks", "3"}),
                  "\naverage     default vectors over 840 tokens: 20.0 micro-batches of 42, over all ranks\n");
  expect_contains(planned("forward", {"--ranks", "6"}), "micro-batches of 42, over all ranks\n");
  expect_contains(planned("step", {"--ranks", "3"}),
                  "\naverage     default vectors over 840 tokens: 20.0 steps of 42\n");
  EXPECT_EQ(planned("step", {"--set", "router.ema_beta=1"}).find("average"), std::string::npos);
  write_config("run.json");
  EXPECT_EQ(succeed({"plan", "run.json"}).out.find("average"), std::string::npos) << "TopK averages nothing";
}

TEST_F(Commands, PlanForAGpuNeedsNoGpu) {
  setenv("CUDA_VISIBLE_DEVICES", "", 1);  // hides a GPU if there is one
  write_config("run.json", {{"device", "cuda"}});
  const ProcessResult result = succeed({"plan", "run.json"});
  expect_contains(result.out, "\nGPU memory (bf16, micro-batch 2 x 7, recompute none)\n");
  expect_contains(result.out, "\n  workspace                96.0 MiB\n");
  expect_contains(result.out, "\nplanned as if for a GPU: ");
  EXPECT_EQ(result.out.find("available"), std::string::npos);
}

TEST_F(Commands, Help) {
  for (const char* command : {"train", "compare", "eval", "generate", "plan", "report", "watch", "analyze"})
    expect_contains(succeed({"--help"}).out, command);
  expect_contains(succeed({"train", "--help"}).out, "--resume");
}

// Reads the size, such as "154 MiB", from the plan's line called `name`.
double planned_bytes(const std::string& plan, const std::string& name) {
  std::istringstream line(plan.substr(plan.find(name) + name.size()));
  double value = 0;
  std::string unit;
  line >> value >> unit;
  EXPECT_EQ(unit, "MiB");
  return value * 1024 * 1024;
}

TEST_F(Commands, PlanPredictsThePeakMemoryOfAQuickstartRun) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer's shadow is resident too";
  write_random_shard(files_ / "train.bin", 2048, 40000000, 1);  // more than the tolerance below, in case they count
  write_random_shard(files_ / "val.bin", 2048, 60000, 2);
  const std::string config = source_folder() + "/configs/quickstart/default.json";
  const auto with_data = [&](std::vector<std::string> command) {
    for (const char* change : {"data.train=train.bin", "data.val=val.bin", "train.steps=2", "train.eval_tokens=4096",
                               "schedule.warmup_steps=0"})
      command.insert(command.end(), {"--set", change});
    return command;
  };
  const double planned = planned_bytes(succeed(with_data({"plan", config})).out, "peak resident");
  const ProcessResult result = succeed(with_data({"train", config, "--out", "run"}), {.threads = 2});
  EXPECT_NEAR(static_cast<double>(result.peak_resident_bytes) / planned, 1.0, 0.15);
}

TEST_F(Commands, ARunMayReadMoreShardsThanTheSoftLimitOfOpenFiles) {
  for (uint64_t i = 0; i < 40; ++i) write_random_shard(files_ / text("many_", i, ".bin"), 29, 67, i);
  write_config("run.json", {{"data", {{"train", "many_*.bin"}}}, {"train", {{"steps", 4}}}});
  const OpenFileLimit few(32);
  if (few.hard() < 200) GTEST_SKIP() << "the hard limit is " << few.hard();
  succeed({"train", "run.json", "--out", "run"});
}

}  // namespace
}  // namespace gptmoe::testing
