// Commands that use a model or measure ops tell what happened to the GPU's ops. (analyze, which takes long on the
// simulated GPU, is left out.)
#include "simt/cublaslt/cublaslt_stand_in.h"
#include "support/process.h"
#include "support/run_fixture.h"

namespace gptmoe::testing {
namespace {

using Words = std::vector<std::string>;
const std::string kRefused = "note: cuBLASLt cannot compute some products (";

class Notes : public ::testing::Test {
 protected:
  ~Notes() override { simt::cublaslt().answers.clear(); }

  Config config() const {
    const std::string tokenizer = source_folder() + "/tests/tokenizer/golden/tokenizer.json";
    write_random_shard(folder_ / "words.bin", 401, 60, 9);
    return folder_.config(
        {{"model", {{"vocab_size", 408}, {"max_position_embeddings", 16}, {"num_hidden_layers", 1}}},
         {"router", {{"type", "default"}}},
         {"train", {{"steps", 2}, {"eval_every", 0}}},
         {"schedule", {{"warmup_steps", 1}}},
         {"data", {{"train", folder_ / "words.bin"}, {"val", folder_ / "words.bin"}, {"tokenizer", tokenizer}}},
         {"device", "cuda"}});
  }
  // Runs gptmoe on the simulated GPU, where the check of Hopper's kernels crashes. cuBLASLt has this fault.
  ProcessResult run(const Words& arguments, const std::string& fault) {
    Words words = {build_folder() + "/gptmoe_simulated"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    return testing::run(folder_ / "", words,
                        {.environment = {"GPTMOE_SIMULATED_FAULT=" + fault, "GPTMOE_TEST_HOPPER=crash",
                                         "XDG_CACHE_HOME=" + (folder_ / "cache").string()}});
  }

  RunFolder folder_;
};

TEST_F(Notes, ArePrintedByCommandsThatRunOps) {
  simt::cublaslt().answers = {CUBLAS_STATUS_NOT_SUPPORTED};
  std::string screen;
  train_quietly(config(), folder_ / "run", false, &screen);
  expect_contains(screen, "\n" + kRefused);

  const std::string portable = "note: kernels: portable (Hopper's failed their check on this GPU: ended by signal 11";
  write_text_file(folder_ / "task.jsonl", R"({"query": "a", "choices": ["b", "c"], "gold": 0})");
  for (const Words& command : {Words{"eval", "run"},
                               {"eval", "run", "--task", "task.jsonl"},
                               {"generate", "run", "--prompt", "a", "--tokens", "2"}}) {
    const ProcessResult result = run(command, "refuses");
    EXPECT_EQ(result.exit_code, 0) << command[0] << ": " << result.err;
    EXPECT_TRUE(result.err.starts_with(portable)) << command[0] << ": " << result.err;
    expect_contains(result.err, "\n" + kRefused);
    EXPECT_EQ(result.out.find(kRefused), std::string::npos) << command[0] << ": " << result.out;
  }
  // Without that fault: our own kernel would take minutes for the large products that bench measures.
  const ProcessResult measured = run({"bench", "ops", "sort_by_expert"}, "none");
  EXPECT_EQ(measured.exit_code, 0) << measured.err;
  EXPECT_TRUE(measured.err.starts_with(portable)) << measured.err;
}

}  // namespace
}  // namespace gptmoe::testing
