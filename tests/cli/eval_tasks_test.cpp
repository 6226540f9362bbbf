// gptmoe eval --task: what it prints, what it writes, what it refuses.
#include <cmath>
#include <map>

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
  expect_contains(result.out, "note: more/last: ");
  expect_contains(result.out, " cut at the beginning to fit the model's window of 24 tokens\n");
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

// The scores that a run records during training, with averaged weights, equal those of eval afterwards.
TEST_F(EvalTasks, AreThoseOfTheTrainingLoop) {
  succeed({"train", "run.json", "--out", "loop", "--set", "train.steps=3", "--set", "train.tasks.files=tasks", "--set",
           "train.weight_ema=0.5", "--set", "data.val=words.bin"});
  const std::vector<json> rows = metrics_of(files_ / "loop");
  ASSERT_EQ(rows.back()["event"], "tasks");
  const json &loop = rows.back()["tasks"], &val = rows[rows.size() - 2];
  succeed({"eval", "loop", "--task", "tasks", "--json", "scores.json"});
  const json scores = json::parse(read_text_file(files_ / "scores.json"));
  EXPECT_FALSE(scores.contains("weights"));
  for (const json& score : scores["tasks"]) {
    const json& own = loop[score["task"].get<std::string>()];
    for (const char* key : {"examples", "acc", "acc_stderr"}) EXPECT_EQ(own[key], score[key]) << key;
    EXPECT_EQ(own.value("perplexity", 0.0), score.value("perplexity", 0.0));
  }
  succeed({"eval", "loop", "--weight-ema", "--json", "average.json"});
  const json average = json::parse(read_text_file(files_ / "average.json"));
  EXPECT_EQ(average["texts"][0]["loss"], val["val_loss_ema"]);
  EXPECT_EQ(average["weights"], "average");
  succeed({"generate", "loop", "--weight-ema", "--prompt", "In", "--tokens", "2"});
  succeed({"export", "loop", "--weight-ema", "--out", "exported"});
  expect_contains(read_text_file(files_ / "exported/README.md"),
                  "moving average of the trained weights, with decay 0.5");
  refuse({"eval", "run", "--weight-ema", "--data", "words.bin"}, {"has no average of the weights"});
  refuse({"train", "run.json", "--out", "none", "--set", "train.tasks.files=nowhere.jsonl"},
         {"train.tasks.files: nowhere.jsonl: no such file or folder"});
  EXPECT_FALSE(fs::exists(files_ / "none"));
}

// Some of llm-foundry's continuations begin with a space, which is also the delimiter.
TEST_F(EvalTasks, ASpaceIsScoredOnce) {
  write_text_file(files_ / "with.jsonl", R"({"context": "25 - 759 =", "continuation": " -734"})");
  write_text_file(files_ / "without.jsonl", R"({"context": "25 - 759 = ", "continuation": "-734"})");
  succeed({"eval", "run", "--task", "with.jsonl", "without.jsonl", "--json", "s.json"});
  const json tasks = json::parse(read_text_file(files_ / "s.json"))["tasks"];
  EXPECT_EQ(tasks[0]["perplexity"], tasks[1]["perplexity"]);
}

TEST_F(EvalTasks, SamplesAreWhatTheScoresComeFrom) {
  const ProcessResult result = succeed({"eval", "run", "--task", "tasks", "schema.jsonl", "--limit", "8", "--samples",
                                        "items.jsonl", "--json", "s.json"});
  expect_contains(result.out, "samples     items.jsonl\n");
  std::map<std::string, std::vector<json>> lines;
  std::istringstream file(read_text_file(files_ / "items.jsonl"));
  for (std::string line; std::getline(file, line);) lines[json::parse(line)["task"]].push_back(json::parse(line));
  const json tasks = json::parse(read_text_file(files_ / "s.json"))["tasks"];
  ASSERT_EQ(lines["choices"].size(), 8u);
  ASSERT_EQ(lines["schema"].size(), 1u);
  for (const char* metric : {"acc", "acc_norm", "acc_token"}) {
    double right = 0;
    for (const json& line : lines["choices"]) {
      EXPECT_EQ(line["correct"][metric], line["predicted"][metric] == line["answer"]);
      right += line["correct"][metric].get<bool>() ? 1 : 0;
    }
    EXPECT_DOUBLE_EQ(tasks[0][metric], right / 8) << metric;
  }
  EXPECT_EQ(lines["choices"][7]["index"], 7);
  EXPECT_EQ(lines["choices"][7]["line"], 8);
  EXPECT_EQ(lines["choices"][7]["checkpoint"], "run/checkpoints/step_00000003");
  double sum = 0;
  for (const json& line : lines["more/last"]) sum -= line["log_likelihood"].get<double>();
  EXPECT_NEAR(tasks[1]["perplexity"].get<double>() / std::exp(sum / 8), 1, 1e-9);
}

TEST_F(EvalTasks, CategoriesHaveRowsAndAMean) {
  std::string lines;
  for (int i = 0; i < 6; ++i)
    lines +=
        json{{"query", text("Question ", i)}, {"choices", {"a", "b"}}, {"gold", 0}, {"category", i < 4 ? "law" : "art"}}
            .dump() +
        "\n";
  write_text_file(files_ / "exam.jsonl", lines);
  const ProcessResult result = succeed({"eval", "run", "--task", "exam.jsonl", "--shots", "1", "--json", "s.json"});
  expect_contains(row_of(result.out, "exam"), "       6  0.5000 ");
  expect_contains(row_of(result.out, "  art"), "       2  0.5000 ");
  expect_contains(row_of(result.out, "  law"), "       4  0.5000 ");
  expect_contains(row_of(result.out, "  mean of 2 categories"), "       6  0.5000 ");
  const json task = json::parse(read_text_file(files_ / "s.json"))["tasks"][0];
  EXPECT_NEAR(task["category_mean"]["acc"],
              (task["categories"][0]["acc"].get<double>() + task["categories"][1]["acc"].get<double>()) / 2, 1e-12);
  refuse({"eval", "run", "--task", "exam.jsonl", "--shots", "2"},
         {"--shots: 2, but exam.jsonl:5 has only 1 other example in its category"});
}

TEST_F(EvalTasks, TwoRunsAreComparedItemByItem) {
  succeed({"train", "run.json", "--out", "other", "--set", "train.steps=3", "--set", "seed=7"});
  const ProcessResult result = succeed(
      {"eval", "run", "other", "--task", "tasks", "--shots", "1", "--json", "s.json", "--samples", "items.jsonl"});
  expect_contains(result.out, "A  run/checkpoints/step_00000003\ntask ");
  expect_contains(result.out, "\n\nB  other/checkpoints/step_00000003\ntask ");
  expect_contains(result.out, "\n\ntask            n     metric         A         B     B - A");
  const json scores = json::parse(read_text_file(files_ / "s.json"));
  ASSERT_EQ(scores["runs"].size(), 2u);
  EXPECT_EQ(scores["runs"][0]["tasks"][0]["checksum"], scores["runs"][1]["tasks"][0]["checksum"]);
  std::vector<std::string> rows;
  for (const json& pair : scores["paired"])
    rows.push_back(text(pair["task"].get<std::string>(), " ", pair["metric"].get<std::string>()));
  EXPECT_EQ(rows, (std::vector<std::string>{"choices acc", "choices acc_norm", "choices acc_token", "more/last acc",
                                            "more/last loss"}));
  for (int r = 0; r < 2; ++r) {
    const json alone = [&] {
      succeed({"eval", r == 0 ? "run" : "other", "--task", "tasks", "--shots", "1", "--json", "alone.json"});
      return json::parse(read_text_file(files_ / "alone.json"));
    }();
    EXPECT_EQ(scores["runs"][r]["tasks"], alone["tasks"]);
    EXPECT_EQ(scores["paired"][0][r == 0 ? "a" : "b"], alone["tasks"][0]["acc"]);
  }
  // The test counts the items that only one run gets right.
  std::map<std::string, std::vector<bool>> right;
  std::istringstream file(read_text_file(files_ / "items.jsonl"));
  for (std::string line; std::getline(file, line);) {
    const json item = json::parse(line);
    if (item["task"] == "choices") right[item["checkpoint"]].push_back(item["correct"]["acc_norm"]);
  }
  const auto &a = right["run/checkpoints/step_00000003"], &b = right["other/checkpoints/step_00000003"];
  ASSERT_EQ(a.size(), 12u);
  int only_a = 0, only_b = 0;
  for (size_t i = 0; i < 12; ++i) only_a += a[i] && !b[i], only_b += b[i] && !a[i];
  EXPECT_EQ(scores["paired"][1]["only_a"], only_a);
  EXPECT_EQ(scores["paired"][1]["only_b"], only_b);
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
  refuse({"eval", "run", "--task", "none.jsonl"},
         {"--task none.jsonl: no such file or folder; give a file of JSON lines"});
  refuse({"eval", "run", "--task", "arc_easy"},
         {"--task arc_easy: no such file or folder; give a file of JSON lines", "docs/tasks.md"});
  write_text_file(files_ / "bad.jsonl", R"({"query": "q", "choices": ["a", "b"], "gold": 2})");
  // The bad file is refused before any task is scored.
  const ProcessResult result = gptmoe({"eval", "run", "--task", "tasks", "bad.jsonl", "--out", "s.json"});
  fail(result, 2, {"bad.jsonl:1: gold: must be a whole number from 0 to 1, not 2"});
  EXPECT_EQ(result.out, "");
  EXPECT_FALSE(fs::exists(files_ / "s.json"));
  refuse({"eval", "run", "--task", "schema.jsonl", "--shots", "1"},
         {"--shots: 1, but schema.jsonl:1 has only 0 other examples in its file"});
  refuse({"eval", "run", "--task", "tasks", "--data", "words.bin"}, {"--task", "--data"});
  refuse({"eval", "run", "--shots", "2"}, {"--shots", "--task"});
  refuse({"eval", "run", "--task", "tasks", "--limit", "-1"}, {"--limit"});
  refuse({"eval", "run", "--task", "tasks", "--tokenizer", "none"}, {"none"});
  refuse({"eval", "run", "--task", "tasks", "--json", "no/such/s.json"}, {"--json: no/such is not a folder"});
  refuse({"eval", "run", "--task", "tasks", "--json", "tasks"}, {"--json: tasks is a folder"});
  refuse({"eval", "run", "--task", "tasks", "--samples", "tasks"}, {"--samples: tasks is a folder"});
  for (const char* same : {"s.json", "./s.json", "tasks/../s.json"})
    refuse({"eval", "run", "--task", "tasks", "--json", "s.json", "--samples", same},
           {text("--samples: ", same, " is also the file of --json; name another file")});
  write_config("small.json");
  succeed({"train", "small.json", "--out", "small", "--set", "train.steps=3"});
  refuse({"eval", "small", "--task", "tasks"}, {"names no tokenizer", "--tokenizer FILE"});
  const std::string tokenizer = source_folder() + "/tests/tokenizer/golden/tokenizer.json";
  refuse({"eval", "small", "--task", "tasks", "--tokenizer", tokenizer},
         {"tokenizer.json: 401 tokens, but the model's vocabulary has 29"});
}

}  // namespace
}  // namespace gptmoe::testing
