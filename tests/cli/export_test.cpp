// gptmoe export, as a user calls it.
#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class ExportCommand : public CommandLine {
 protected:
  void train(const json& changes = json::object()) {
    write_config("run.json", changes);
    succeed({"train", "run.json", "--out", "runs/tiny"});
  }
  json read(const std::string& name) { return json::parse(read_text_file(files_ / name)); }
};

TEST_F(ExportCommand, WritesAFolderAndSaysWhichClassOpensIt) {
  train();
  const ProcessResult result = succeed({"export", "runs/tiny", "--out", "hf", "--shard-size", "4kB"});
  expect_contains(result.out, "class       Qwen2MoeForCausalLM of transformers\n");
  expect_contains(result.out, " files, f32\n");
  expect_contains(result.out, "tokenizer   none: the run's config names none; pass --tokenizer FILE\n");
  expect_contains(result.out, "exported    hf\n");
  EXPECT_TRUE(fs::exists(files_ / "hf/model.safetensors.index.json"));
  const std::string card = read_text_file(files_ / "hf/README.md");
  expect_contains(card, "\n# tiny\n");
  expect_contains(card, "12 steps, 168 tokens");
  expect_contains(card, "| data | `train_*.bin` |");
  expect_contains(card, "at step 12 on `val_*.bin`");
  expect_contains(card, "Qwen2MoeForCausalLM");

  succeed({"export", "runs/tiny/checkpoints/step_00000004", "--out", "early", "--dtype", "bf16"});
  const std::string early = read_text_file(files_ / "early/README.md");
  expect_contains(early, "4 steps, 56 tokens");
  EXPECT_EQ(early.find("validation"), std::string::npos);  // the first one was at step 5
  EXPECT_EQ(read("early/config.json")["dtype"], "bfloat16");
}

TEST_F(ExportCommand, SaysWhyItUsesOurClass) {
  train({{"router", {{"type", "default"}}}});
  expect_contains(
      succeed({"export", "runs/tiny", "--out", "hf"}).out,
      "class       GptmoeForCausalLM, which needs trust_remote_code=True: no class of transformers computes "
      "this model; Qwen2MoeForCausalLM, the nearest, lacks router.type default\n");
  EXPECT_EQ(read("hf/config.json")["router"]["default_forward"], true);
}

TEST_F(ExportCommand, FormatCustomAlwaysUsesOurClass) {
  train();
  expect_contains(succeed({"export", "runs/tiny", "--out", "hf", "--format", "custom"}).out, "GptmoeForCausalLM");
  EXPECT_TRUE(fs::exists(files_ / "hf/modeling_gptmoe.py"));
}

TEST_F(ExportCommand, TakesTheRunsTokenizerOrAnother) {
  const std::string tokenizer = source_folder() + "/tests/tokenizer/golden/tokenizer.json";
  train({{"model", {{"vocab_size", 401}}}, {"data", {{"tokenizer", tokenizer}}}});
  expect_contains(succeed({"export", "runs/tiny", "--out", "hf"}).out, "tokenizer   tokenizer.json\n");
  EXPECT_EQ(read("hf/tokenizer_config.json")["tokenizer_class"], "PreTrainedTokenizerFast");
  const std::string ranks = source_folder() + "/tests/tokenizer/golden/ranks.tiktoken";
  refuse({"export", "runs/tiny", "--out", "other", "--tokenizer", ranks}, {"give --pattern"});
  refuse({"export", "runs/tiny", "--out", "other", "--tokenizer", ranks, "--pattern", "gpt3"},
         {"--pattern gpt3: give "});
  refuse({"export", "runs/tiny", "--out", "other", "--tokenizer", ranks, "--pattern", "gpt2"},
         {"tokens, but the model's vocabulary has 401"});
  EXPECT_FALSE(fs::exists(files_ / "other"));
}

TEST_F(ExportCommand, ContinuesWithoutATokenizerThatIsGone) {
  train({{"data", {{"tokenizer", "gone.json"}}}});
  expect_contains(succeed({"export", "runs/tiny", "--out", "hf"}).out,
                  "runs/tiny: holds no copy of its tokenizer, and there is none at gone.json; pass --tokenizer FILE");
  EXPECT_FALSE(fs::exists(files_ / "hf/tokenizer.json") || fs::exists(files_ / "hf/tokenizer_config.json"));
  expect_contains(read_text_file(files_ / "hf/README.md"), "The folder has no tokenizer.");
  refuse({"export", "runs/tiny", "--out", "other", "--tokenizer", "gone.json"}, {"gone.json: no such file or folder"});
  write_text_file(files_ / "runs/tiny/tokenizer.json", "{\"model\": ");
  refuse({"export", "runs/tiny", "--out", "other"}, {"runs/tiny/tokenizer.json:1:11: syntax error"});
  EXPECT_FALSE(fs::exists(files_ / "other"));
}

TEST_F(ExportCommand, RefusesWhatItCannotDo) {
  train();
  fs::create_directory(files_ / "full");
  write_text_file(files_ / "full/notes", "mine");
  refuse({"export", "runs/tiny", "--out", "full"}, {"full: holds notes; name a new or empty folder"});
  refuse({"export", "runs/tiny", "--out", "hf", "--shard-size", "5"}, {"--shard-size 5: not a size", "500MB"});
  refuse({"export", "runs/tiny", "--out", "hf", "--shard-size", "-1GB"}, {"--shard-size -1GB: not a size"});
  refuse({"export", "runs/tiny", "--out", "hf", "--dtype", "f16"}, {"f16"});
  refuse({"export", "nothing", "--out", "hf"}, {"nothing: no such file or folder"});
  fail(gptmoe({"export", "runs/tiny", "--out", "hf"}, {.largest_file = 3000}), 1, {"cannot write: File too large"});
  EXPECT_FALSE(fs::exists(files_ / "hf"));
  for (const auto& entry : fs::directory_iterator(folder()))
    EXPECT_EQ(entry.path().filename().string().find("hf"), std::string::npos) << entry.path();
}

TEST_F(ExportCommand, ACopiedCheckpointIsNotTakenForOneOfTheRunAboveIt) {
  train();
  fs::create_directory(files_ / "runs/tiny/kept");
  copy_folder(files_ / "runs/tiny/checkpoints/step_00000012", files_ / "runs/tiny/kept/mine");
  const ProcessResult result = succeed({"export", "runs/tiny/kept/mine", "--out", "hf"});
  EXPECT_EQ(result.out.find("note: "), std::string::npos) << result.out;
  const std::string card = read_text_file(files_ / "hf/README.md");
  expect_contains(card, "\n# mine\n");
  expect_contains(card, "12 steps, 168 tokens");
  EXPECT_EQ(card.find("validation"), std::string::npos) << card;
}

TEST_F(ExportCommand, RowsThatCannotBeReadCostOnlyTheValidation) {
  train();
  append_text(files_ / "runs/tiny/metrics.jsonl", "{\n");
  expect_contains(succeed({"export", "runs/tiny", "--out", "hf"}).out, "note: README.md has no validation loss: ");
  const std::string card = read_text_file(files_ / "hf/README.md");
  expect_contains(card, "\n# tiny\n");
  EXPECT_EQ(card.find("validation"), std::string::npos) << card;
}

// Transformers stops at the type, or at a size that is not a number.
TEST_F(ExportCommand, CheckpointsAreNoFolderForTransformers) {
  train();
  const json config = read("runs/tiny/checkpoints/step_00000012/config.json");
  EXPECT_EQ(config["model_type"], "gptmoe_checkpoint");
  EXPECT_TRUE(config["vocab_size"].is_string());
}

}  // namespace
}  // namespace gptmoe::testing
