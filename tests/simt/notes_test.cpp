// Each command that uses a model or measures ops tells what happened to the GPU's ops.
#include "support/process.h"
#include "support/run_fixture.h"

namespace gptmoe::testing {
namespace {

using Words = std::vector<std::string>;

class Notes : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string tokenizer = source_folder() + "/tests/tokenizer/golden/tokenizer.json";
    write_random_shard(folder_ / "words.bin", 401, 200, 9);
    const nlohmann::json config = to_json(folder_.config(
        {{"model", {{"vocab_size", 408}, {"max_position_embeddings", 16}, {"num_hidden_layers", 1}}},
         {"router", {{"type", "default"}}},
         {"train", {{"steps", 2}, {"eval_every", 0}}},
         {"schedule", {{"warmup_steps", 1}}},
         {"data", {{"train", folder_ / "words.bin"}, {"val", folder_ / "words.bin"}, {"tokenizer", tokenizer}}},
         {"device", "cuda"}}));
    write_text_file(folder_ / "config.json", config.dump());
    write_text_file(folder_ / "task.jsonl", R"({"context": "a", "choices": ["b", "c"], "answer": 0})");
  }
  // Runs gptmoe on the simulated GPU, with a fault of cuBLASLt and one of Hopper's kernels.
  ProcessResult run(const Words& arguments) {
    Words words = {build_folder() + "/gptmoe_simulated"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return testing::run(folder_ / "", words,
                        {.environment = {"GPTMOE_SIMULATED_FAULT=refuses", "GPTMOE_TEST_HOPPER=crash",
                                         "XDG_CACHE_HOME=" + (folder_ / "cache").string()}});
  }

  RunFolder folder_;
};

TEST_F(Notes, ArePrintedByEveryCommandThatRunsOps) {
  const std::string refused = "note: cuBLASLt cannot compute some products (",
                    portable = "note: kernels: portable (Hopper's failed their check on this GPU: ended by signal 11";
  const ProcessResult trained = run({"train", "config.json", "--out", "run"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  expect_contains(trained.out, "\n" + refused);
  expect_contains(trained.out, "\nkernels     portable (Hopper's failed their check on this GPU: ");
  EXPECT_EQ(trained.err, "");
  for (const Words& command : {Words{"eval", "run"},
                               {"eval", "run", "--task", "task.jsonl"},
                               {"analyze", "run"},
                               {"generate", "run", "--prompt", "a", "--tokens", "2"},
                               {"bench", "ops", "sort_by_expert"},
                               {"bench", "layer", "config.json", "--rounds", "1"},
                               {"bench", "step", "config.json", "--steps", "1", "--rounds", "1", "--warmup", "1"}}) {
    const ProcessResult result = run(command);
    EXPECT_EQ(result.exit_code, 0) << command[0] << ": " << result.err;
    EXPECT_TRUE(result.err.starts_with(portable)) << command[0] << " " << command[1] << ": " << result.err;
    expect_contains(result.err, "\n" + refused);
    EXPECT_EQ(result.out.find("note: "), std::string::npos) << command[0] << ": " << result.out;
  }
}

}  // namespace
}  // namespace gptmoe::testing
