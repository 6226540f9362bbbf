// data.document_mask from the command line: where the end-of-text token comes from, and what a run may change.
#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class DocumentMaskRun : public CommandLine {
 protected:
  // A config whose model has room for the 401 tokens of tokenizer_.
  void write_masked(const json& data) {
    json run = to_json(files_.config({{"model", {{"vocab_size", 410}}}}));
    run["data"].merge_patch(data);
    write_text_file(files_ / "run.json", run.dump(2));
  }
  json data_of(const std::string& run) { return json::parse(read_text_file(files_ / run / "config.json"))["data"]; }
  const std::string tokenizer_ = source_folder() + "/tests/tokenizer/golden/tokenizer.json";
};

TEST_F(DocumentMaskRun, NeedsAnEndOfTextToken) {
  const auto refuse_data = [&](const json& data, const std::vector<std::string>& parts) {
    write_masked(data);
    refuse({"train", "run.json", "--out", "run"}, parts);
    EXPECT_FALSE(fs::exists(files_ / "run"));
  };
  const std::string remedy = "or give the token's id as data.end_of_text";
  refuse_data(
      {{"document_mask", true}},
      {"run.json: data.document_mask: needs the token that ends documents; name the shards' tokenizer", remedy});
  refuse_data({{"document_mask", true}, {"tokenizer", "gone.json"}},
              {"run.json: data.tokenizer: gone.json is not there", remedy});
  refuse_data({{"end_of_text", 410}}, {"data.end_of_text: must be below model.vocab_size 410, not 410"});
  std::string endless = read_text_file(tokenizer_);
  for (size_t at; (at = endless.find("endoftext")) != std::string::npos;) endless.replace(at, 9, "something");
  write_text_file(files_ / "endless.json", endless);
  refuse_data({{"document_mask", true}, {"tokenizer", "endless.json"}},
              {"run.json: data.tokenizer: endless.json has no end-of-text token", remedy});
}

TEST_F(DocumentMaskRun, KeepsTheTokenizersIdAndMayChangeTheMask) {
  write_masked({{"document_mask", true}, {"tokenizer", tokenizer_}});
  expect_contains(succeed({"train", "run.json", "--out", "run", "--set", "train.steps=4"}).out,
                  "documents   end with token 0, and attention restarts after it");
  const json data = data_of("run");
  EXPECT_TRUE(data["document_mask"]);
  EXPECT_EQ(data["end_of_text"], 0);
  expect_contains(succeed({"plan", "run.json"}).out,
                  "recomputation not counted; attention as without a document mask)");
  // The id alone does the same, without a tokenizer.
  write_masked({{"document_mask", true}, {"end_of_text", 0}});
  succeed({"train", "run.json", "--out", "same", "--set", "train.steps=4"});
  expect_same_run(files_ / "run", files_ / "same");

  write_masked({{"document_mask", false}});
  refuse({"train", "run.json", "--out", "run", "--resume", "--set", "train.steps=6"},
         {"the run has data.document_mask = true, now it is false", "add --set data.document_mask=false"});
  succeed(
      {"train", "run.json", "--out", "run", "--resume", "--set", "train.steps=6", "--set", "data.document_mask=false"});
  EXPECT_FALSE(data_of("run")["document_mask"]);
}

TEST_F(DocumentMaskRun, TheRunsCopyOfTheTokenizerIsEnough) {
  fs::copy(tokenizer_, files_ / "words.json");
  write_masked({{"document_mask", true}, {"tokenizer", "words.json"}});
  succeed({"train", "run.json", "--out", "run", "--set", "train.steps=4"});
  fs::remove(files_ / "words.json");
  succeed({"train", "run.json", "--out", "run", "--resume", "--set", "train.steps=6"});
  succeed({"train", "run.json", "--out", "twig", "--branch", "run", "--set", "train.steps=8"});
  EXPECT_EQ(data_of("twig")["end_of_text"], 0);
  refuse({"train", "run.json", "--out", "other"}, {"run.json: data.tokenizer: words.json is not there"});
}

TEST_F(DocumentMaskRun, ExportSaysThatTheFolderHasNoMask) {
  write_masked({{"document_mask", true}, {"end_of_text", 5}});
  succeed({"train", "run.json", "--out", "run", "--set", "train.steps=3"});
  expect_contains(succeed({"export", "run", "--out", "hf"}).out, "documents   trained with a mask between documents");
  expect_contains(read_text_file(files_ / "hf/README.md"), "| documents | trained with a mask between documents");
}

}  // namespace
}  // namespace gptmoe::testing
