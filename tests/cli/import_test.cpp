// gptmoe import, as a user calls it.
#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class ImportCommand : public CommandLine {
 protected:
  void train_and_export(const json& changes = json::object()) {
    write_config("run.json", changes);
    succeed({"train", "run.json", "--out", "runs/tiny"});
    succeed({"export", "runs/tiny", "--out", "hf"});
  }
};

TEST_F(ImportCommand, WritesACheckpointThatTheOtherCommandsTake) {
  const std::string tokenizer = source_folder() + "/tests/tokenizer/golden/tokenizer.json";
  train_and_export({{"model", {{"vocab_size", 401}}}, {"data", {{"tokenizer", tokenizer}}}});
  const ProcessResult result = succeed({"import", "hf", "--out", "start"});
  expect_contains(result.out, "class       Qwen2MoeForCausalLM\n");
  expect_contains(result.out, "router      topk\n");
  expect_contains(result.out, "tokenizer   tokenizer.json\n");
  expect_contains(result.out, "imported    start\n");
  EXPECT_EQ(result.out.find("ignored"), std::string::npos);

  const auto loss = [&](const std::string& run) {
    const std::string out = succeed({"eval", run, "--data", "val_*.bin"}).out;
    return out.substr(out.find(": loss"));
  };
  EXPECT_EQ(loss("start"), loss("runs/tiny"));
  const std::vector<std::string> greedy = {"--prompt", "In", "--temperature", "0", "--tokens", "5"};
  const auto text = [&](const std::string& run) {
    std::vector<std::string> arguments = {"generate", run};
    arguments.insert(arguments.end(), greedy.begin(), greedy.end());
    return succeed(arguments).out;
  };
  EXPECT_EQ(text("start"), text("runs/tiny"));
  succeed({"train", "run.json", "--init-from", "start", "--out", "runs/next"});
  succeed({"train", "run.json", "--init-from", "hf", "--out", "runs/other"});
  expect_contains(succeed({"export", "start", "--out", "again"}).out, "tokenizer   tokenizer.json\n");
  EXPECT_TRUE(read_text_file(files_ / "hf/model.safetensors") == read_text_file(files_ / "again/model.safetensors"));
  const std::string card = read_text_file(files_ / "again/README.md");
  expect_contains(card, "A language model converted from the weights of `hf` by gptmoe ");
  EXPECT_EQ(card.find("| trained |"), std::string::npos) << card;
  EXPECT_EQ(card.find("| data |"), std::string::npos) << card;
  append_text(files_ / "start/tokenizer.json", "\n");
  refuse({"export", "start", "--out", "third"},
         {"start/tokenizer.json: does not match its checksum in state.json: ", "import or copy it again"});
}

TEST_F(ImportCommand, SaysWhatItLeavesOut) {
  train_and_export();
  json config = json::parse(read_text_file(files_ / "hf/config.json"));
  config["new_key"] = 1;
  write_text_file(files_ / "hf/config.json", config.dump());
  const std::string out = succeed({"import", "hf", "--out", "start"}).out;
  expect_contains(out, "tokenizer   none: the folder has none\n");
  expect_contains(out, "ignored     unknown keys of config.json: new_key\n");
  write_text_file(files_ / "hf/tokenizer.json", R"({"model": {"type": "WordPiece"}})");
  expect_contains(succeed({"import", "hf", "--out", "other"}).out,
                  "/hf/tokenizer.json: model.type: \"WordPiece\" is not supported; ");
  EXPECT_FALSE(fs::exists(files_ / "other/tokenizer.json"));
  std::string whole = read_text_file(source_folder() + "/tests/tokenizer/golden/tokenizer.json");
  const size_t merges = whole.find("\"merges\"");
  for (const std::string& damaged :
       {std::string(), std::string("{\"model\": {\"type\": \"BPE\", \"vo"), std::string("[]"), std::string("{}"),
        whole.substr(0, merges) + "\"merges\": [[\"a\"]]}}"}) {
    write_text_file(files_ / "hf/tokenizer.json", damaged);
    refuse({"import", "hf", "--out", "new"}, {"hf/tokenizer.json:", "; restore the file, or remove it to import"});
    EXPECT_FALSE(fs::exists(files_ / "new")) << damaged;
  }
  fs::remove(files_ / "hf/tokenizer.json");
  write_text_file(files_ / "hf/vocab.json", json::parse(whole)["model"]["vocab"].dump());
  write_text_file(files_ / "hf/merges.txt", "#version: 0.2\nh e\nh e x\n");
  refuse({"import", "hf", "--out", "new"},
         {"hf/merges.txt: line 3: expected a merge", "; restore the file, or remove"});
  for (const char* file : {"vocab.json", "merges.txt"}) fs::remove(files_ / "hf" / file);
  fs::create_symlink("nowhere", files_ / "hf/tokenizer.json");
  refuse({"import", "hf", "--out", "new"}, {"hf/tokenizer.json: cannot access it: it is a link to nowhere"});
  EXPECT_FALSE(fs::exists(files_ / "new"));
  refuse({"import", "hf", "--out", "start"}, {"start: holds ", "; name a new or empty folder"});
  refuse({"import", "runs/tiny", "--out", "new"}, {"runs/tiny/config.json: model_type: is missing"});
  refuse({"import", "gone", "--out", "new"}, {"gone/config.json"});
  EXPECT_FALSE(fs::exists(files_ / "new"));
}

}  // namespace
}  // namespace gptmoe::testing
