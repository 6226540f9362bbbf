#include <gtest/gtest.h>

#include "base/file.h"
#include "config/config.h"
#include "config/minimal.h"
#include "support/temporary_folder.h"

namespace gptmoe {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

struct LoadConfigTest : testing::Test {
  LoadConfigTest() { write_text_file(path, "// a comment\n" + minimal().dump(2)); }

  Config load(const std::vector<std::string>& overrides) { return load_config(path, overrides); }
  std::string error(const std::vector<std::string>& overrides) {
    return error_of([&] { load(overrides); });
  }

  TemporaryFolder folder;
  const fs::path path = folder / "c.json";
};

TEST_F(LoadConfigTest, ReadsTheFile) { EXPECT_TRUE(load({}) == parse_config(minimal(), "f.json")); }

TEST_F(LoadConfigTest, MissingFileNamesItsPath) {
  EXPECT_EQ(error_of([&] { load_config(folder / "none.json"); }),
            (folder / "none.json").string() + ": cannot open: No such file or directory");
}

TEST_F(LoadConfigTest, SyntaxErrorNamesThePosition) {
  write_text_file(path, "// a comment\n{\"model\": {,}}");
  EXPECT_EQ(error({}),
            path.string() + ":2:12: syntax error while parsing object key - unexpected ','; expected string literal");
}

TEST_F(LoadConfigTest, OtherFormatsAreNamed) {
  const auto error_in = [&](const std::string& name, const std::string& content) {
    write_text_file(folder / name, content);
    const std::string error = error_of([&] { load_config(folder / name); });
    const std::string start = (folder / name).string() + ": looks like ",
                      end = ", but a config is JSON; docs/config.md lists its keys";
    if (!error.starts_with(start) || !error.ends_with(end)) return "not named: " + error;
    return error.substr(start.size(), error.size() - start.size() - end.size());
  };
  for (const char* yaml :
       {"model:\n  vocab_size: 2\n", "# a comment\n\n---\nmodel: {}\n", "\xEF\xBB\xBFmodel :\r\n", "- a\n"})
    EXPECT_EQ(error_in("run.json", yaml), "YAML") << yaml;
  for (const char* toml : {"[model]\nvocab_size = 2\n", "; a comment\n[train]\n", "seed = 1\n", "model.vocab_size=2\n"})
    EXPECT_EQ(error_in("run.json", toml), "TOML or INI") << toml;
  EXPECT_EQ(error_in("run.yaml", "{model: {}}"), "YAML");
  EXPECT_EQ(error_in("run.yml", ""), "YAML");
  EXPECT_EQ(error_in("run.toml", ""), "TOML or INI");
  EXPECT_EQ(error_in("run.ini", "[a]"), "TOML or INI");
  EXPECT_EQ(error_in("run.py", "import x"), "Python");
  EXPECT_EQ(error_in("run.json", std::string("\1\0\0\0\0\0\0\0{", 9)), "a binary file");
  for (const char* json :
       {"{\"model\": {,}}", "[1, 2", "[model", "\"model\": 1", "model", "", "# only\n", "{a: 1}", "// one\nmodel:"})
    EXPECT_TRUE(error_in("run.json", json).starts_with("not named: " + (folder / "run.json").string() + ":")) << json;
  for (const char* json : {"{\"model\": {} \"seed\": 1}", "// model: one\n/* two */ {  // three\n \"seed\": 1,"})
    for (const char* name : {"run.yaml", "run.toml", "run.py"})
      EXPECT_TRUE(error_in(name, json).starts_with("not named: " + (folder / name).string() + ":")) << json;
  write_text_file(folder / "json.yaml", minimal().dump());
  EXPECT_EQ(error_of([&] { load_config(folder / "json.yaml"); }), "no error");
}

TEST_F(LoadConfigTest, ErrorInTheFileNamesTheFile) {
  write_text_file(path, minimal_with(R"({"train": {"steps": 0}})").dump());
  EXPECT_EQ(error({}), path.string() + ": train.steps: must be a whole number from 1 to 1099511627776, not 0");
}

TEST_F(LoadConfigTest, OverridesReplaceAndAdd) {
  const Config config = load({"train.steps=7", "optimizer.learning_rate=2e-4", "model.tie_word_embeddings=true",
                              "router.type=default", "router.ema_beta=0.99", "checkpoint.every=3", "seed=5"});
  EXPECT_EQ(config.train.steps, 7);
  EXPECT_EQ(config.optimizer.learning_rate, 2e-4);
  EXPECT_TRUE(config.model.tie_word_embeddings);
  EXPECT_EQ(config.router.type, "default");
  EXPECT_EQ(*config.router.block, json::parse(R"({"ema_beta": 0.99})"));
  EXPECT_EQ(config.checkpoint.every, 3);
  EXPECT_EQ(config.seed, 5);
  EXPECT_EQ(config.train.sequence_length, 16);
}

TEST_F(LoadConfigTest, ValuesAreJsonOrElseStrings) {
  EXPECT_EQ(load({"data.val=data/val_*.bin"}).data.val, DataSources{{"data/val_*.bin"}});
  EXPECT_EQ(load({"data.val=\"7\""}).data.val, DataSources{{"7"}});
  EXPECT_EQ(load({"data.val=a=b"}).data.val, DataSources{{"a=b"}});
  EXPECT_EQ(load({"data.val=x", "data.val="}).data.val, DataSources{});
  EXPECT_EQ(load({"data.val=7 // seven"}).data.val, DataSources{{"7 // seven"}});
  EXPECT_EQ(*load({R"(router={"type": "mine", "x": [1, 2]})"}).router.block, json::parse(R"({"x": [1, 2]})"));
}

TEST_F(LoadConfigTest, LaterOverridesWin) {
  EXPECT_EQ(load({"train.steps=7", "train.steps=8"}).train.steps, 8);
  EXPECT_EQ(*load({R"(router={"a": 1})", "router.b.c=2"}).router.block, json::parse(R"({"a": 1, "b": {"c": 2}})"));
}

TEST_F(LoadConfigTest, AMalformedOverrideIsAnError) {
  EXPECT_EQ(error({"train.steps"}), "--set train.steps: no value; write it as --set path.to.key=value");
  for (const std::string place : {"", ".", "train.", ".steps", "train..steps"})
    EXPECT_EQ(error({place + "=7"}),
              "--set " + place + ": empty name in the path; write it as --set path.to.key=value");
  EXPECT_EQ(error({"train.steps.x=7"}), "--set train.steps.x: train.steps is not an object");
  EXPECT_EQ(error({"data.val=\xff"}), "--set data.val: not valid UTF-8");
  EXPECT_EQ(error({R"(router={"a": 1, "a": 2})"}), "--set router: a: given twice; keep one");
}

TEST_F(LoadConfigTest, OverridingAFileThatIsNotAnObjectIsAnError) {
  write_text_file(path, "[1]");
  EXPECT_EQ(error({"seed=1"}), "--set seed: the file is not an object");
}

TEST_F(LoadConfigTest, ABadOverriddenValueNamesTheOverride) {
  EXPECT_EQ(error({"train.steps=1e3"}),
            "--set train.steps: must be a whole number from 1 to 1099511627776, not 1000.0");
  EXPECT_EQ(error({"train.stesp=7"}), "--set train.stesp: unknown key; did you mean \"steps\"?");
  EXPECT_EQ(error({"modle.hidden_size=7"}), "--set modle.hidden_size: modle: unknown key; did you mean \"model\"?");
  EXPECT_EQ(error({R"(log={"evry": 1})"}), "--set log: log.evry: unknown key; did you mean \"every\"?");
  EXPECT_EQ(error({"seed=3", "train.steps=-1", "log.every=2"}),
            "--set train.steps: must be a whole number from 1 to 1099511627776, not -1");
}

TEST_F(LoadConfigTest, AnErrorElsewhereStillNamesTheFile) {
  EXPECT_EQ(error({"model.hidden_size=30"}),
            path.string() +
                ": model.num_attention_heads: 4 does not divide hidden_size 30; change one of them, or give head_dim");
  write_text_file(path, minimal_with(R"({"train": {"steps": 0}})").dump());
  EXPECT_EQ(error({"train.step=1"}),
            path.string() + ": train.steps: must be a whole number from 1 to 1099511627776, not 0");
}

}  // namespace
}  // namespace gptmoe
