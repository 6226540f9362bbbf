// gptmoe generate: prompts, stop strings, JSON, conversations, bad input.
#include <sys/stat.h>

#include "cli/cli_fixture.h"
#include "support/test_folders.h"
#include "tokenizer/utf8.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

using Words = std::vector<std::string>;

// A run whose vocabulary is padded beyond the tokenizer's 401 tokens.
class GenerateCommand : public CommandLine {
 protected:
  void SetUp() override { train("run", {{"max_position_embeddings", 64}}); }

  void train(const std::string& name, json model) {
    model["vocab_size"] = 450;
    write_random_shard(files_ / "words.bin", 401, 200, 9);
    const std::string tokenizer = source_folder() + "/tests/tokenizer/golden/tokenizer.json";
    write_config("run.json", {{"model", model},
                              {"train", {{"steps", 3}}},
                              {"data", {{"train", files_ / "words.bin"}, {"val", ""}, {"tokenizer", tokenizer}}}});
    succeed({"train", "run.json", "--out", name});
  }
  ProcessResult generate(Words arguments, const std::string& input = "/dev/null") {
    arguments.insert(arguments.begin(), {"generate", "run"});
    if (std::find(arguments.begin(), arguments.end(), "--tokens") == arguments.end())
      arguments.insert(arguments.end(), {"--tokens", "12"});
    const ProcessResult result = gptmoe(arguments, {.input = input});  // not succeed(): a text may have any character
    if (result.exit_code != 0 || !result.err.empty()) throw std::runtime_error(result.err);
    return result;
  }
  std::vector<json> objects(Words arguments, const std::string& input = "/dev/null") {
    arguments.push_back("--json");
    std::istringstream lines(generate(arguments, input).out);
    std::vector<json> objects;
    for (std::string line; std::getline(lines, line);) objects.push_back(json::parse(line));
    return objects;
  }
  void write(const std::string& name, const std::string& content) { write_text_file(files_ / name, content); }
};

TEST_F(GenerateCommand, TakesThePromptFromStandardInput) {
  write("in", "In the beginning\n");
  const std::string expected = generate({"--prompt", "In the beginning"}).out;
  EXPECT_TRUE(expected.starts_with("In the beginning"));
  EXPECT_EQ(generate({}, "in").out, expected);
  EXPECT_EQ(generate({"--prompt", "-"}, "in").out, expected);
  EXPECT_EQ(objects({}, "in")[0]["prompt"], "In the beginning");
  EXPECT_EQ(generate({"--prompt", "In the beginning"}, "").out, expected) << "no need for standard input";
}

TEST_F(GenerateCommand, WritesAJsonObjectForEachPrompt) {
  write("p.jsonl", "{\"prompt\": \"In the\", \"id\": 1}\n\n{\"prompt\": \"\"}\n{\"prompt\": \"\\u20ac and\"}\n");
  const std::vector<json> all = objects({"--prompts", "p.jsonl", "--seed", "5"});
  ASSERT_EQ(all.size(), 3u);
  const std::string page = read_text_file(fs::path(source_folder()) / "docs/generate.md");
  const Words prompts = {"In the", "", "€ and"};
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i]["prompt"], prompts[i]);
    EXPECT_EQ(all[i]["seed"], 5 + i);
    // The same result as for this prompt alone, so results do not depend on the earlier prompts.
    EXPECT_EQ(objects({"--prompt", prompts[i], "--seed", std::to_string(5 + i)}), std::vector{all[i]});
    for (const auto& [key, value] : all[i].items()) expect_contains(page, "| `" + key + "` |");
  }
  write("p.txt", "In the\n€ and\n");
  const std::string plain = generate({"--prompts", "p.txt", "--seed", "5"}).out;
  EXPECT_TRUE(plain.starts_with("In the" + all[0]["text"].get<std::string>() + "\n€ and")) << plain;
}

TEST_F(GenerateCommand, WritesValidUtf8AlsoFromAPromptThatIsNot) {
  write("in", "caf\xC3\xA9 \xC3(");
  EXPECT_EQ(find_malformed(generate({"--tokens", "60"}, "in").out), std::string::npos);
  EXPECT_EQ(objects({"--tokens", "60"}, "in")[0]["prompt"], "café \uFFFD(");
}

TEST_F(GenerateCommand, NeverEndsAtAnIdBeyondTheTokenizer) {
  for (const char* seed : {"1", "2", "3", "4"}) {
    const json made = objects({"--prompt", "In", "--seed", seed, "--temperature", "5"})[0];
    for (const json& id : made["tokens"]) EXPECT_LT(id, 401);
    EXPECT_EQ(made["finish_reason"] == "length", made["tokens"].size() == 12u);
    EXPECT_FALSE(made["truncated"]);
  }
}

TEST_F(GenerateCommand, SaysThatAPromptIsLongerThanTheContext) {
  const std::string words(120, '!');
  const ProcessResult result = gptmoe({"generate", "run", "--prompt", "In the", "--tokens", "70", "--json"});
  EXPECT_EQ(result.err, "") << "a text may grow beyond the context";
  EXPECT_TRUE(json::parse(result.out)["truncated"]);
  const ProcessResult cut = gptmoe({"generate", "run", "--prompt", words + words, "--tokens", "3", "--json"});
  EXPECT_EQ(cut.exit_code, 0) << cut.err;
  EXPECT_TRUE(cut.err.starts_with("note: --prompt: the model sees the last 64 of ")) << cut.err;
  EXPECT_TRUE(json::parse(cut.out)["truncated"]);
}

TEST_F(GenerateCommand, EndsBeforeAStopString) {
  const Words command = {"--prompt", "In the", "--temperature", "0"};
  const std::string text = objects(command)[0]["text"];
  size_t at = 1;  // the start of two characters of one byte each
  while (at + 2 < text.size() && ((text[at] | text[at + 1]) & 0x80)) ++at;
  const std::string stop = text.substr(at, 2);
  Words stopped = command;
  stopped.insert(stopped.end(), {"--stop", "not there", "--stop", stop});
  const json made = objects(stopped)[0];
  EXPECT_EQ(made["text"], text.substr(0, text.find(stop)));
  EXPECT_EQ(made["finish_reason"], "stop");
  EXPECT_EQ(generate(stopped).out, "In the" + text.substr(0, text.find(stop)) + "\n");
}

TEST_F(GenerateCommand, ContinuesLinesInteractively) {
  const auto continued = [&](const std::string& prompt) {
    return objects({"--prompt", prompt, "--temperature", "0"})[0]["text"].get<std::string>();
  };
  write("in", "In the\nand\n\nIn the");
  const std::string first = continued("In the"), second = continued("In the" + first + "\nand");
  EXPECT_EQ(generate({"--interactive", "--temperature", "0"}, "in").out, first + "\n" + second + "\n" + first + "\n");
}

// The two ends of a terminal. What the test types is written to the first; the second is the program's standard input.
class Terminal {
 public:
  Terminal() : fd_(posix_openpt(O_RDWR | O_NOCTTY)) {
    if (fd_ < 0 || grantpt(fd_) != 0 || unlockpt(fd_) != 0) throw std::runtime_error("no terminal");
  }
  ~Terminal() { close(fd_); }
  std::string name() const { return ptsname(fd_); }
  void type(const std::string& keys) { ASSERT_EQ(::write(fd_, keys.data(), keys.size()), std::ssize(keys)); }

 private:
  int fd_;
};

TEST_F(GenerateCommand, EndsAtCtrlD) {
  Terminal terminal;
  terminal.type("In the\n\x04");
  EXPECT_TRUE(generate({"--interactive"}, terminal.name()).out.ends_with("\n"));
  EXPECT_FALSE(generate({}, terminal.name()).out.empty()) << "must not wait for a prompt on a terminal";
}

TEST_F(GenerateCommand, EndsWith130AtCtrlC) {
  Terminal terminal;
  fs::remove(files_ / "stdout");  // the output of the previous command
  Process process(folder(), {gptmoe_binary(), "generate", "run", "--interactive"}, {.input = terminal.name()});
  terminal.type("In the\n");
  const fs::path out = files_ / "stdout";
  process.wait_until([&] { return fs::exists(out) && read_text_file(out).ends_with("\n"); });
  process.kill(SIGINT);
  EXPECT_EQ(process.wait().exit_code, 130);
}

TEST_F(GenerateCommand, Refusals) {
  const auto refuse_options = [&](Words options, const std::string& part, const std::string& input = "/dev/null") {
    options.insert(options.begin(), {"generate", "run"});
    fail(gptmoe(options, {.input = input}), 2, {part});
  };
  for (const char* wrong : {"nan", "inf", "-1", "101", "1e999", "warm", ""})
    refuse_options({"--temperature", wrong}, "--temperature: must be ");
  for (const char* wrong : {"nan", "-nan", "-0.1", "1.01"}) refuse_options({"--top-p", wrong}, "--top-p: must be ");
  for (const char* wrong : {"-1", "1.5", "nan"}) {
    refuse_options({"--top-k", wrong}, "--top-k");
    refuse_options({"--tokens", wrong}, "--tokens");
    refuse_options({"--seed", wrong}, "--seed");
  }
  refuse_options({"--tokens", "0"}, "--tokens: must be 1 or more, not 0");
  refuse_options({"--stop", ""}, "--stop: must not be empty");
  refuse_options({"--prompts", "none.jsonl"}, "none.jsonl: cannot open");
  write("bad.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\"}\n");
  refuse_options({"--prompts", "bad.jsonl"}, "bad.jsonl:2:");
  write("empty.txt", "");
  refuse_options({"--prompts", "empty.txt"}, "empty.txt: no prompts");
  refuse_options({"--prompts", "bad.jsonl", "--prompt", "a"}, "--prompt excludes --prompts");
  refuse_options({"--interactive", "--prompt", "a"}, "--interactive");
  refuse_options({"--interactive", "--json"}, "--interactive");
  refuse_options({}, "standard input: cannot be read: ", "");
  refuse_options({"--interactive"}, "standard input: cannot be read", "");
}

// The memory check counts the keys and values of a text, but only for as many tokens as the text can have.
TEST_F(GenerateCommand, ChecksTheMemoryThatTheCacheNeeds) {
  train("long", {{"max_position_embeddings", 1 << 24}, {"head_dim", 512}});
  EXPECT_EQ(gptmoe({"generate", "long", "--tokens", "3"}).exit_code, 0);
  const ProcessResult refused = gptmoe({"generate", "long", "--interactive"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_TRUE(refused.err.starts_with("gptmoe: the model needs ")) << refused.err;
  expect_contains(refused.err, "\n  keys and values ");
  EXPECT_EQ(gptmoe({"generate", "long", "--tokens", "8000000000"}).exit_code, 2);
}

}  // namespace
}  // namespace gptmoe::testing
