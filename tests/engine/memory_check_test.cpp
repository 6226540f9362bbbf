// A run that does not fit into memory is refused before it allocates any. The error names a size that would fit.
#include "engine/memory_check.h"

#include <map>

#include "kernels/plan_ops.h"
#include "support/error_message.h"
#include "support/run_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

// A memory with `room` bytes available.
struct SmallMemory final : Memory {
  explicit SmallMemory(int64_t room) : room(room) {}
  bool on_host() const override { return true; }
  const char* name() const override { return "small memory"; }
  void* allocate(int64_t) override { return nullptr; }
  void release(void*, int64_t) override {}
  int64_t available() const override { return room; }
  void upload(const Tensor&, const void*) override {}
  void download(void*, const Tensor&) override {}
  std::unique_ptr<Snapshot> make_snapshot(int64_t) override { return nullptr; }
  int64_t room;
};

class MemoryCheck : public ::testing::Test {
 protected:
  static Config config(int64_t micro_batch, const std::string& recompute = "none") {
    return tiny_config({{"model", {{"num_hidden_layers", 12}}},
                        {"train",
                         {{"micro_batch_size", micro_batch},
                          {"global_batch_size", 60},
                          {"sequence_length", 64},
                          {"recompute", recompute}}}});
  }
  Engine planned(const Config& config, Purpose purpose = Purpose::train) const {
    return Engine(config, purpose, config.train.micro_batch_size, config.train.sequence_length, ops_);
  }
  int64_t bytes(int64_t micro_batch, const std::string& recompute = "none") const {
    return planned(config(micro_batch, recompute)).total_bytes();
  }
  std::string refusal(const Config& config, int64_t room, Purpose purpose = Purpose::train) const {
    return message<UserError>([&] { require_room(config, planned(config, purpose), ops_, SmallMemory(room)); });
  }

  static constexpr int64_t kWorkspace = 5000;
  const Ops ops_ = make_plan_ops(DType::bf16, DType::f32, 100, kWorkspace);
};

TEST_F(MemoryCheck, AnExactFitIsAccepted) {
  const Config run = config(12);
  const int64_t room = bytes(12) - kWorkspace;  // the ops have already allocated their workspace
  require_room(run, planned(run), ops_, SmallMemory(room));
  require_room(run, planned(run), ops_, SmallMemory(-1));  // the available memory is unknown
  EXPECT_NE(refusal(run, room - 1), "");
}

TEST_F(MemoryCheck, TheLargestMicroBatchThatFitsDividesTheStep) {
  for (const std::string recompute : {"none", "block"}) {
    EXPECT_EQ(largest_micro_batch(config(1, recompute), ops_, bytes(12, recompute)), 12);
    EXPECT_EQ(largest_micro_batch(config(1, recompute), ops_, bytes(12, recompute) - 1), 10);
    EXPECT_EQ(largest_micro_batch(config(60, recompute), ops_, bytes(15, recompute) - 1), 12);
    EXPECT_EQ(largest_micro_batch(config(1, recompute), ops_, bytes(1, recompute) - 1), 0);
    EXPECT_EQ(largest_micro_batch(config(1, recompute), ops_, int64_t{1} << 60), 60);
  }
}

TEST_F(MemoryCheck, TooManySequencesToCountDoNotFit) {
  const Config run =
      tiny_config({{"train", {{"micro_batch_size", 1}, {"global_batch_size", 1 << 24}, {"sequence_length", 256}}}});
  const Ops cpu = make_plan_ops(DType::f32, DType::f32, 100, 0);
  constexpr int64_t kEndless = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(largest_micro_batch(run, cpu, kEndless), 1 << 20) << "with 256 tokens and 5 experts, below 2^31 pairs";
  EXPECT_EQ(largest_micro_batch(run, ops_, kEndless), 1 << 13) << "a GPU takes at most 3 * 2^20 tokens";
}

TEST_F(MemoryCheck, AutoIsTheLargestThatLeavesAMargin) {
  const auto chosen = [&](double share, RankOf rank = {}) {
    const Config run = config(rank.size == 1 ? 12 : 6);
    const Engine engine(run, Purpose::train, run.train.micro_batch_size, run.train.sequence_length, ops_, rank);
    Config open = run;
    open.train.micro_batch_size = 0;
    return choose_micro_batch(open, ops_, static_cast<int64_t>(static_cast<double>(engine.total_bytes()) / share),
                              rank);
  };
  EXPECT_EQ(chosen(kAutoShare - 0.001), 12);
  EXPECT_EQ(chosen(kAutoShare + 0.001), 10) << "the next smaller divisor of 60";
  EXPECT_EQ(chosen(kAutoShare - 0.001, {1, 5}), 6) << "a divisor of 12, a rank's share";
  EXPECT_EQ(chosen(kAutoShare + 0.001, {1, 5}), 4);
}

TEST_F(MemoryCheck, AutoSaysInOneLineWhyNothingFits) {
  const auto refusal = [&](const std::string& recompute, int64_t room, int ranks = 1) {
    Config run = config(1, recompute);
    run.train.micro_batch_size = 0;
    return message<UserError>([&] { choose_micro_batch(run, ops_, room, {0, ranks}); });
  };
  const std::string even = "train.micro_batch_size: \"auto\", but even 1 does not fit into ";
  const std::string line = refusal("none", bytes(1));
  EXPECT_TRUE(line.starts_with(even)) << line;
  expect_contains(line, ", which is 90% of the free memory; with train.recompute \"block\" ");
  expect_contains(refusal("block", bytes(1, "block")), "; lower train.sequence_length or the model's sizes");
  EXPECT_EQ(refusal("none", -1),
            "train.micro_batch_size: \"auto\", but the system does not say how much memory is "
            "free; give a number");
  EXPECT_TRUE(refusal("none", 1 << 30, 7).starts_with("train.global_batch_size: 60 sequences cannot be shared"));
}

TEST_F(MemoryCheck, ARefusalNamesWhatFitsAndThenPrintsTheTable) {
  ASSERT_LT(bytes(30, "block"), bytes(20));
  const std::string line = refusal(config(30), bytes(20) - kWorkspace);
  EXPECT_TRUE(line.starts_with("train.micro_batch_size: 30 needs ")) << line;
  expect_contains(line,
                  "the largest that divides train.global_batch_size 60 and fits is 20; "
                  "train.recompute \"block\" makes 30 fit\n  parameters ");
  for (const char* row : {"gradients", "optimizer", "state", "activations", "scratch", "workspace", "total"})
    expect_contains(line, "\n  " + std::string(row) + " ");
}

TEST_F(MemoryCheck, RecomputationIsNamedOnlyIfItHelps) {
  ASSERT_GT(bytes(60, "block"), bytes(3));
  EXPECT_EQ(refusal(config(60), bytes(3) - kWorkspace).find("recompute"), std::string::npos)
      << "not even recomputation makes 60 fit";
  EXPECT_EQ(refusal(config(60, "block"), bytes(3) - kWorkspace).find("recompute"), std::string::npos);
  ASSERT_LT(bytes(2, "block"), bytes(1));
  expect_contains(refusal(config(60), bytes(2, "block") - kWorkspace),
                  "no micro-batch size fits without train.recompute \"block\"; with it, the largest that divides "
                  "train.global_batch_size 60 and fits is 2\n");
  expect_contains(refusal(config(60), bytes(1, "block") - kWorkspace - 1),
                  "no micro-batch size fits; lower train.sequence_length or the model's sizes\n");
}

TEST_F(MemoryCheck, GradientsAloneTakeTheMemoryOfTrainingExceptTheOptimizer) {
  std::map<std::string, int64_t> bytes[3];
  const Purpose purposes[] = {Purpose::train, Purpose::gradients, Purpose::forward};
  for (int i = 0; i < 3; ++i)
    for (const auto& arena : planned(config(12), purposes[i]).arena_sizes()) bytes[i][arena.name] = arena.bytes;
  for (const char* same : {"gradients", "activations", "scratch"}) {
    EXPECT_EQ(bytes[1][same], bytes[0][same]) << same;
    EXPECT_LT(bytes[2][same], bytes[1][same]) << same;
  }
  EXPECT_EQ(bytes[1]["optimizer"], 0);
  EXPECT_GT(bytes[0]["optimizer"], 0);
  EXPECT_EQ(bytes[1]["parameters"], bytes[2]["parameters"]);
}

TEST_F(MemoryCheck, AModelThatOnlyRunsForwardHasNoMicroBatchToLower) {
  const std::string line = refusal(config(30), 0, Purpose::forward);
  EXPECT_TRUE(line.starts_with("the model needs ")) << line;
  expect_contains(line, "free some, or use a machine with more\n  parameters ");
}

}  // namespace
}  // namespace gptmoe::testing
