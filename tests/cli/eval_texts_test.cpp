// gptmoe eval without --task: losses on texts, and the paired test of two runs.
#include <cmath>

#include "cli/cli_fixture.h"
#include "support/test_folders.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class EvalTexts : public CommandLine {
 protected:
  void train(const std::string& name, int64_t seed, const json& changes = json::object()) {
    write_config(name + ".json", changes);
    succeed({"train", name + ".json", "--out", name, "--set", "train.steps=3", "--set", text("seed=", seed)});
  }
  json scores(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "eval");
    arguments.insert(arguments.end(), {"--json", "s.json"});
    printed_ = succeed(arguments).out;
    return json::parse(read_text_file(files_ / "s.json"));
  }
  std::string printed_;
};

TEST_F(EvalTexts, DamagedShardsAreRefusedWhicheverOptionNamesThem) {
  train("run", 1);
  write_random_shard(files_ / "a.bin", 29, 80, 3);
  seal_shards(files_ / "", {"a.bin"});
  write_random_shard(files_ / "a.bin", 29, 80, 4);
  for (const char* option : {"--data=a.bin", "--domain=a=a.bin"})
    refuse({"eval", "run", option}, {"a.bin: does not match its checksum in manifest.json: it is damaged or was"});
  refuse({"analyze", "run", "--data=a.bin"}, {"a.bin: does not match its checksum in manifest.json"});
}

TEST_F(EvalTexts, DomainsOnTheScreenAndInJson) {
  train("run", 1);
  write_random_shard(files_ / "a.bin", 29, 80, 3);   // 11 windows of 7 tokens
  write_random_shard(files_ / "b.bin", 29, 120, 4);  // 17 windows
  const json both = scores({"run", "--domain", "wiki=a.bin", "--domain", "two books=b.b*n"});
  expect_contains(printed_, "run/checkpoints/step_00000003\ndomain ");
  expect_contains(printed_, "\nwiki                   77 ");
  expect_contains(printed_, "\ntwo books             119 ");
  expect_contains(printed_, "\nscores      s.json\n");
  EXPECT_EQ(both["checkpoint"], "run/checkpoints/step_00000003");
  ASSERT_EQ(both["texts"].size(), 2u);
  const json &wiki = both["texts"][0], &books = both["texts"][1];
  EXPECT_EQ(wiki["domain"], "wiki");
  EXPECT_EQ(books["data"], "b.b*n");
  EXPECT_EQ(books["tokens"], 119);
  EXPECT_NEAR(wiki["perplexity"], std::exp(wiki["loss"].get<double>()), 1e-9);
  EXPECT_FALSE(wiki.contains("bits_per_byte")) << "the run has no tokenizer";

  // Each text gets the same score as when it is scored alone.
  const json alone = scores({"run", "--data", "b.bin"});
  EXPECT_EQ(alone["texts"][0]["loss"], books["loss"]);
  EXPECT_FALSE(alone["texts"][0].contains("domain"));
  expect_contains(printed_, "run/checkpoints/step_00000003: loss ");
  expect_contains(printed_, " over 119 tokens of b.bin\n");
  const json first = scores({"run", "--domain", "wiki=a.bin", "--tokens", "20"});
  EXPECT_EQ(first["texts"][0]["tokens"], 14);
  EXPECT_EQ(first["tokens_limit"], 20);
  EXPECT_FALSE(first.contains("limit")) << "the limit of tasks counts examples";
}

TEST_F(EvalTexts, BitsPerByteNeedTheTokenizer) {
  const std::string tokenizer = source_folder() + "/tests/tokenizer/golden/tokenizer.json";
  write_random_shard(files_ / "words.bin", 257, 80, 9);
  const json model = {{"model", {{"vocab_size", 401}}}, {"data", {{"train", files_ / "words.bin"}, {"val", ""}}}};
  train("run", 1, model);
  const json known = scores({"run", "--data", "words.bin", "--tokenizer", tokenizer})["texts"][0];
  const double bits = known["loss"].get<double>() * 77 / std::log(2.0) / known["bytes"].get<double>();
  EXPECT_NEAR(known["bits_per_byte"], bits, 1e-9);
  expect_contains(printed_, " bits/byte over 77 tokens");

  write_text_file(files_ / "moved.json", read_text_file(tokenizer));
  json named = model;
  named["data"]["tokenizer"] = files_ / "moved.json";
  train("named", 1, named);
  EXPECT_EQ(scores({"named", "--data", "words.bin"})["texts"][0]["bytes"], known["bytes"]);
  fs::remove(files_ / "moved.json");  // the run's folder has a copy
  EXPECT_EQ(scores({"named", "--data", "words.bin"})["texts"][0]["bytes"], known["bytes"]);
  fs::remove(files_ / "named/tokenizer.json");
  EXPECT_FALSE(scores({"named", "--data", "words.bin"})["texts"][0].contains("bytes"));
  expect_contains(printed_, "note: no bits per byte: ");
  write_text_file(files_ / "moved.json", "{");
  EXPECT_FALSE(scores({"named", "--data", "words.bin"})["texts"][0].contains("bytes"));
  expect_contains(printed_, "moved.json");
}

TEST_F(EvalTexts, TokensThatTheTokenizerLacksCostOnlyTheBitsPerByte) {
  const std::string tokenizer = source_folder() + "/tests/tokenizer/golden/tokenizer.json";
  train("run", 1, {{"model", {{"vocab_size", 600}}}, {"data", {{"tokenizer", tokenizer}}}});
  write_random_shard(files_ / "other.bin", 600, 80, 9);  // the tokenizer has 401 tokens
  const json texts = scores({"run", "--domain", "known=val_0.bin", "--domain", "other=other.bin"})["texts"];
  EXPECT_TRUE(texts[0].contains("bits_per_byte"));
  EXPECT_FALSE(texts[1].contains("bits_per_byte"));
  EXPECT_GT(texts[1]["loss"].get<double>(), 0);
  expect_contains(printed_, "note: no bits per byte: other.bin: token ");
  EXPECT_LT(printed_.find("note: "), printed_.find("\nother ")) << "before the text is scored";
  // The user's own choice is refused before anything is scored.
  const ProcessResult refused = gptmoe({"eval", "run", "--domain", "known=val_0.bin", "--domain", "other=other.bin",
                                        "--tokenizer", tokenizer, "--json", "t.json"});
  fail(refused, 2, {"other.bin: token ", "pass the tokenizer that made the shards"});
  EXPECT_EQ(refused.out, "");
  EXPECT_FALSE(fs::exists(files_ / "t.json"));
}

TEST_F(EvalTexts, ARankFileNeedsItsPattern) {
  const std::string ranks = source_folder() + "/tests/tokenizer/golden/ranks.tiktoken";
  train("run", 1, {{"model", {{"vocab_size", 600}}}, {"data", {{"tokenizer", ranks}}}});
  EXPECT_FALSE(scores({"run"})["texts"][0].contains("bytes"));
  expect_contains(printed_, "note: no bits per byte: ");
  expect_contains(printed_, "--pattern");
  EXPECT_TRUE(scores({"run", "--pattern", "gpt2"})["texts"][0].contains("bytes"));
  refuse({"eval", "run", "--pattern", "gpt5"}, {"--pattern gpt5: give "});
  refuse({"generate", "run", "--prompt", "a"}, {"--pattern"});
  succeed({"generate", "run", "--prompt", "a", "--pattern", "gpt2", "--tokens", "2"});
}

TEST_F(EvalTexts, TwoRunsArePairedByWindow) {
  train("one", 1);
  train("two", 2);
  write_random_shard(files_ / "a.bin", 29, 80, 3);
  write_random_shard(files_ / "b.bin", 29, 120, 4);
  const json both = scores({"one", "two", "--domain", "wiki=a.bin", "--domain", "books=b.bin"});
  expect_contains(printed_, "A  one/checkpoints/step_00000003\ndomain ");
  expect_contains(printed_, "\n\nB  two/checkpoints/step_00000003\ndomain ");
  expect_contains(printed_, "\n\ndomain       n     metric         A         B     B - A");
  ASSERT_EQ(both["runs"].size(), 2u);
  ASSERT_EQ(both["paired"].size(), 2u);
  const json& books = both["paired"][1];
  EXPECT_EQ(books["domain"], "books");
  EXPECT_EQ(books["items"], 17);
  EXPECT_NEAR(books["a"], both["runs"][0]["texts"][1]["loss"].get<double>(), 1e-9);
  EXPECT_NEAR(books["b"], both["runs"][1]["texts"][1]["loss"].get<double>(), 1e-9);
  EXPECT_NEAR(books["difference"].get<double>(), books["b"].get<double>() - books["a"].get<double>(), 1e-9);
  EXPECT_LT(books["low"], books["difference"]);
  EXPECT_GT(books["high"], books["difference"]);

  const json same = scores({"one", "one/checkpoints/step_00000003", "--data", "a.bin"});
  EXPECT_EQ(same["paired"][0]["p"], 1.0);
  EXPECT_EQ(same["paired"][0]["verdict"], "undecided");
  EXPECT_EQ(same["paired"][0]["data"], "a.bin");

  train("long", 1, {{"train", {{"sequence_length", 9}}}});
  EXPECT_EQ(scores({"one", "long", "--data", "a.bin"})["paired"], json::array());
  expect_contains(printed_, "note: no paired test, since the windows of A have 7 tokens and those of B 9 tokens");
}

TEST_F(EvalTexts, RefusesWhatCannotBeScored) {
  train("run", 1);
  write_random_shard(files_ / "a.bin", 29, 80, 3);
  refuse({"eval", "run", "--domain", "a.bin"}, {"--domain a.bin: not NAME=GLOB"});
  refuse({"eval", "run", "--domain", "a=a.bin", "--domain", "a=val_*.bin"}, {"--domain a: given twice"});
  refuse({"eval", "run", "--domain", "a=none.bin"}, {"none.bin: no file matches"});
  refuse({"eval", "run", "--domain", "a=a.bin", "--data", "a.bin"}, {"--domain", "--data"});
  refuse({"eval", "run", "--json", "no/such/s.json"}, {"--json: no/such is not a folder"});
  refuse({"eval", "run", "run", "run", "--data", "a.bin"}, {"run"});
  refuse({"eval", "run", "--samples", "s.jsonl"}, {"--samples", "--task"});
}

}  // namespace
}  // namespace gptmoe::testing
