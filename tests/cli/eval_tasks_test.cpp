// gptmoe eval --task: what it prints, what it writes, what it refuses.
#include "cli/cli_fixture.h"
#include "support/test_folders.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class EvalTasks : public CommandLine {
 protected:
  // Prepares a run with the golden tokenizer and a context of 24 tokens, and three task files.
  void SetUp() override {
    const std::string tokenizer = source_folder() + "/tests/tokenizer/golden/tokenizer.json";
    write_random_shard(files_ / "words.bin", 401, 200, 9);
    write_config("run.json", {{"model", {{"vocab_size", 401}, {"max_position_embeddings", 24}}},
                              {"data", {{"train", files_ / "words.bin"}, {"val", ""}, {"tokenizer", tokenizer}}},
                              {"router", {{"type", "default"}}}});
    succeed({"train", "run.json", "--out", "run", "--set", "train.steps=3"});
    fs::create_directories(files_ / "tasks/more");
    std::string choices, lambada;
    for (int i = 0; i < 12; ++i) {
      choices +=
          json{{"query", text("Question ", i, ": who?")}, {"choices", {"God", "the king", "no man"}}, {"gold", i % 3}}
              .dump() +
          "\n";
      lambada +=
          json{{"context", std::string(static_cast<size_t>(4 * i), 'x') + "In the"}, {"continuation", "beginning"}}
              .dump() +
          "\n";
    }
    write_text_file(files_ / "tasks/choices.jsonl", choices);
    write_text_file(files_ / "tasks/more/last.jsonl", lambada);
    write_text_file(files_ / "schema.jsonl",
                    R"({"context_options": ["he said", "she said"], "continuation": "so", "gold": 0})");
  }
  static std::string row_of(const std::string& table, const std::string& task) {
    const size_t begin = table.find("\n" + task + " ");
    if (begin == std::string::npos) return "no row";
    return table.substr(begin + 1, table.find('\n', begin + 1) - begin - 1);
  }
};

TEST_F(EvalTasks, PrintTheTableAndWriteTheScores) {
  const ProcessResult result = succeed({"eval", "run", "--task", "tasks", "schema.jsonl", "--out", "scores.json"});
  expect_contains(result.out, "run/checkpoints/step_00000003\ntask ");
  expect_contains(row_of(result.out, "choices"), "      12  0.3333  ");
  expect_contains(row_of(result.out, "more/last"), "      12       -  ");
  expect_contains(row_of(result.out, "schema"), "       1  0.5000  ");
  expect_contains(result.out, "note: more/last: the model's window of 24 tokens cut ");
  expect_contains(result.out, "scores      scores.json\n");

  const json scores = json::parse(read_text_file(files_ / "scores.json"));
  EXPECT_EQ(scores["checkpoint"], "run/checkpoints/step_00000003");
  EXPECT_EQ(scores["shots"], 0);
  ASSERT_EQ(scores["tasks"].size(), 3u);
  EXPECT_EQ(scores["tasks"][0]["task"], "choices");
  EXPECT_EQ(scores["tasks"][0]["file"], "tasks/choices.jsonl");
  EXPECT_EQ(scores["tasks"][0]["examples"], 12);
  EXPECT_EQ(scores["tasks"][1]["kind"], "completion");
  EXPECT_GT(scores["tasks"][1]["truncated"], 0);
  EXPECT_GT(scores["tasks"][1]["perplexity"], 100.0);

  EXPECT_EQ(succeed({"eval", "--task", "tasks", "--task", "schema.jsonl", "--out", "scores.json", "run"}).out,
            result.out);
}

TEST_F(EvalTasks, OptionsChangeWhatIsAsked) {
  const auto perplexity = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"eval", "run", "--task", "tasks/more/last.jsonl", "--out", "s.json"});
    succeed(options);
    const json scores = json::parse(read_text_file(files_ / "s.json"));
    return std::pair(scores["tasks"][0]["examples"].get<int>(), scores["tasks"][0]["perplexity"].get<double>());
  };
  const auto plain = perplexity({}), few = perplexity({"--limit", "5"});
  EXPECT_EQ(few.first, 5);
  EXPECT_EQ(perplexity({"--limit", "500"}), plain);
  EXPECT_NE(perplexity({"--delimiter", "\nAnswer: "}).second, plain.second);
  const auto shots = perplexity({"--shots", "1"});
  EXPECT_EQ(shots.first, 12);
  EXPECT_NE(shots.second, plain.second);
  EXPECT_EQ(perplexity({"--shots", "1", "--seed", "1"}), shots);
  EXPECT_NE(perplexity({"--shots", "1", "--seed", "2"}).second, shots.second);
}

TEST_F(EvalTasks, RefuseWhatCannotBeScored) {
  refuse({"eval", "run", "--task", "none.jsonl"}, {"none.jsonl: cannot open"});
  write_text_file(files_ / "bad.jsonl", R"({"query": "q", "choices": ["a", "b"], "gold": 2})");
  // The bad file is refused before any task is scored.
  const ProcessResult result = gptmoe({"eval", "run", "--task", "tasks", "bad.jsonl", "--out", "s.json"});
  fail(result, 2, {"bad.jsonl:1: gold: must be a whole number from 0 to 1, not 2"});
  EXPECT_EQ(result.out, "");
  EXPECT_FALSE(fs::exists(files_ / "s.json"));
  refuse({"eval", "run", "--task", "schema.jsonl", "--shots", "1"},
         {"--shots: 1 in addition to the one asked", "schema.jsonl has only 1"});
  refuse({"eval", "run", "--task", "tasks", "--data", "words.bin"}, {"--task", "--data"});
  refuse({"eval", "run", "--shots", "2"}, {"--shots", "--task"});
  refuse({"eval", "run", "--task", "tasks", "--limit", "-1"}, {"--limit"});
  refuse({"eval", "run", "--task", "tasks", "--tokenizer", "none"}, {"none"});
  refuse({"eval", "run", "--task", "tasks", "--out", "no/such/s.json"}, {"--out: no/such is not a folder"});
  refuse({"eval", "run", "--task", "tasks", "--out", "tasks"}, {"--out: tasks is a folder"});
  write_config("small.json");
  succeed({"train", "small.json", "--out", "small", "--set", "train.steps=3"});
  refuse({"eval", "small", "--task", "tasks"}, {"names no tokenizer", "--tokenizer FILE"});
  const std::string tokenizer = source_folder() + "/tests/tokenizer/golden/tokenizer.json";
  refuse({"eval", "small", "--task", "tasks", "--tokenizer", tokenizer},
         {"tokenizer.json: 401 tokens, but the model's vocabulary has 29"});
}

}  // namespace
}  // namespace gptmoe::testing
