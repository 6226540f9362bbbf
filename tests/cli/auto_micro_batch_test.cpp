// train.micro_batch_size "auto": chosen when a run begins, and kept from then on.
#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class AutoMicroBatch : public CommandLine {
 protected:
  // Steps of 6 sequences. `size` is a number or "auto".
  std::string write_run(const std::string& name, const json& size, const json& changes = json::object()) {
    json run = to_json(files_.config({{"train", {{"micro_batch_size", 1}, {"global_batch_size", 6}}}}));
    run["train"]["micro_batch_size"] = size;
    run.merge_patch(changes);
    write_text_file(files_ / name, run.dump(2));
    return name;
  }
  void SetUp() override {
    write_run("auto.json", "auto");
    write_run("two.json", 2);
  }
  // The size in the run's config, after checking that its checkpoint has the same.
  json size_of(const std::string& run) {
    const json size = json::parse(read_text_file(files_ / run / "config.json"))["train"]["micro_batch_size"];
    const CheckpointState state = read_checkpoint_state(*latest_checkpoint(files_ / run));
    EXPECT_EQ((*state.config)["train"]["micro_batch_size"], size);
    return size;
  }
};

TEST_F(AutoMicroBatch, TakesTheWholeBatchIfThatFits) {
  write_run("six.json", 6);
  expect_contains(succeed({"train", "auto.json", "--out", "run"}).out,
                  "\nmicro-batch 6 sequences, the largest that fits into 90% of the free memory\n");
  EXPECT_EQ(size_of("run"), 6);
  EXPECT_EQ(succeed({"train", "six.json", "--out", "six"}).out.find("\nmicro-batch"), std::string::npos);
  expect_same_run(files_ / "six", files_ / "run");
}

// On resume, "auto" would choose 6.
TEST_F(AutoMicroBatch, KeepsTheSizeOfTheRunThatItContinues) {
  succeed({"train", "two.json", "--out", "whole"});
  for (const std::vector<std::string>& set : {std::vector<std::string>{}, {"--set", "train.micro_batch_size=auto"}}) {
    fs::remove_all(files_ / "run");
    copy_folder(files_ / "whole", files_ / "run");
    cut_back(files_ / "run", 8);
    std::vector<std::string> resume = {"train", "auto.json", "--out", "run", "--resume"};
    resume.insert(resume.end(), set.begin(), set.end());
    EXPECT_EQ(succeed(resume).out.find("\nmicro-batch"), std::string::npos);
    EXPECT_EQ(size_of("run"), 2);
    expect_same_run(files_ / "whole", files_ / "run");
  }
  succeed({"train", "auto.json", "--branch", "whole/checkpoints/step_00000008", "--out", "branch"});
  EXPECT_EQ(size_of("branch"), 2);
  expect_same_run(files_ / "whole", files_ / "branch");
  succeed({"train", "auto.json", "--out", "run", "--resume", "--set", "train.micro_batch_size=3", "--set",
           "train.steps=13"});
  EXPECT_EQ(size_of("run"), 3) << "a number still changes it";
}

TEST_F(AutoMicroBatch, IsOneSizeForAllRunsOfAComparison) {
  const std::vector<std::string> compare = {
      "compare", "auto.json",     "--sweep", "train.global_batch_size=4,6", "--out", "both",
      "--set",   "train.steps=4", "--set",   "schedule.warmup_steps=1"};
  expect_contains(succeed(compare).out,
                  "micro-batch 2 sequences, the largest that fits into 90% of the free memory, "
                  "in every run\n");
  for (const char* run : {"both/auto/global_batch_size=4/seed_1", "both/auto/global_batch_size=6/seed_1"})
    EXPECT_EQ(size_of(run), 2) << "4 and 6 share no larger divisor";
  EXPECT_EQ(succeed(compare).out.find("\nmicro-batch"), std::string::npos) << "finished runs are reused";
}

TEST_F(AutoMicroBatch, TakesTheSizeOfTheComparisonsOtherRuns) {
  const auto compare = [&](const std::string& size, const std::string& seeds) {
    return std::vector<std::string>{"compare", "auto.json",
                                    "--seeds", seeds,
                                    "--jobs",  "2",
                                    "--out",   "both",
                                    "--set",   "train.steps=4",
                                    "--set",   "schedule.warmup_steps=1",
                                    "--set",   "train.micro_batch_size=" + size};
  };
  succeed(compare("3", "2"));
  expect_contains(succeed(compare("auto", "3")).out, "reusing     both/auto/seed_1\n");
  EXPECT_EQ(size_of("both/auto/seed_3"), 3);
}

// No size is given here, so a refusal names the run that fixed it.
TEST_F(AutoMicroBatch, IsRefusedInOneLineIfTheComparisonsOtherRunsDoNotAllowIt) {
  const auto compare = [](std::vector<std::string> words) {
    words.insert(words.begin(), "compare");
    words.insert(words.end(), {"--out", "both", "--set", "train.steps=4", "--set", "schedule.warmup_steps=1"});
    return words;
  };
  succeed(compare({"auto.json", "--seeds", "2", "--sweep", "train.global_batch_size=4"}));
  refuse(compare({"auto.json", "--seeds", "2", "--sweep", "train.global_batch_size=4,6"}),
         {"train.micro_batch_size: \"auto\" is one size for all runs, and both/auto/global_batch_size=4/seed_2 has 4, "
          "which does not divide the 6 sequences per step of each rank of auto global_batch_size=6; choose another "
          "--out"});
  write_run("three.json", 3);
  succeed(compare({"two.json", "three.json"}));
  refuse(compare({"two.json", "three.json", "--set", "train.micro_batch_size=auto"}),
         {"train.micro_batch_size: \"auto\" is one size for all runs, but both/two/seed_1 has 2 and "
          "both/three/seed_1 has 3; choose another --out"});
}

TEST_F(AutoMicroBatch, IsRefusedInOneLineByBenchmarks) {
  const std::string why = "auto.json: train.micro_batch_size: \"auto\", but a benchmark needs a number; ";
  refuse({"bench", "step", "auto.json"}, {why, "add --set train.micro_batch_size=N\n"});
  refuse({"bench", "layer", "auto.json"}, {why, "add --set train.micro_batch_size=N\n"});
  refuse({"bench", "loader", "auto.json"}, {why, "write one there, or give the shards and --batch\n"});
  succeed({"bench", "step", "auto.json", "--tokens", "14", "--steps", "1", "--warmup", "1", "--rounds", "1"});
}

TEST_F(AutoMicroBatch, IsPlanned) {
  setenv("CUDA_VISIBLE_DEVICES", "", 1);  // hides a GPU if there is one
  expect_contains(succeed({"plan", "auto.json"}).out, "micro-batch 6 sequences, the largest");
  const std::string two = succeed({"plan", "auto.json", "--ranks", "2"}).out;
  expect_contains(two, "micro-batch 3 sequences, the largest");
  expect_contains(two, "\nranks       2, each with 1 micro-batch(es) of 3 per step");
  refuse({"plan", "auto.json", "--set", "device=cuda"},
         {"train.micro_batch_size: \"auto\", but ", "; name the GPU with --gpu, or give a number"});
  const std::vector<std::string> large = {"plan",        "auto.json", "--set",
                                          "device=cuda", "--set",     "train.global_batch_size=1048576"};
  const auto on_gpu = [&](const std::string& gpu) {
    std::vector<std::string> words = large;
    words.insert(words.end(), {"--gpu", gpu, "--set", "model.vocab_size=500000", "--set", "model.hidden_size=1536"});
    const std::string out = succeed(words).out, label = "micro-batch ";
    expect_contains(out, "\nfits; train.micro_batch_size may be up to ");
    return std::stoll(out.substr(out.find(label) + label.size()));
  };
  const int64_t h100 = on_gpu("h100"), h200 = on_gpu("h200");
  EXPECT_GT(h100, 1);
  EXPECT_LT(h100, h200);
  EXPECT_LT(h200, 1 << 20);
}

TEST_F(AutoMicroBatch, IsRefusedInOneLineIfEvenOneSequenceDoesNotFit) {
  write_run("large.json", "auto", {{"model", {{"hidden_size", 98304}, {"head_dim", 4}, {"vocab_size", 1 << 24}}}});
  const std::string why = "train.micro_batch_size: \"auto\", but even 1 does not fit into ";
  refuse({"train", "large.json", "--out", "run"}, {why, "of the free memory; lower train.sequence_length"});
  refuse({"plan", "large.json"}, {why});
  refuse({"compare", "auto.json", "large.json", "--out", "both"}, {why});
  for (const char* out : {"run", "both"}) EXPECT_FALSE(fs::exists(files_ / out));
}

#ifdef GPTMOE_MPI
TEST_F(AutoMicroBatch, DividesARanksShare) {
  setenv("ASAN_OPTIONS", "detect_leaks=0", 1);  // MPI's libraries leak
  const std::string out = succeed({"train", "auto.json", "--out", "run", "--ranks", "2"}).out;
  expect_contains(out, "\nmicro-batch 3 sequences, the largest");
  expect_contains(out, "\nranks       2, micro-batches of 3");
  EXPECT_EQ(size_of("run"), 3);
}
#endif

}  // namespace
}  // namespace gptmoe::testing
