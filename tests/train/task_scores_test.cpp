// Runs that score downstream tasks as they train (train.tasks).
#include <omp.h>

#include "inference/task_file.h"
#include "support/run_fixture.h"
#include "support/test_folders.h"
#include "support/thread_ranks.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class TaskScores : public ::testing::Test {
 protected:
  void SetUp() override {
    omp_set_num_threads(1);
    write_random_shard(folder_ / "words.bin", 401, 200, 9);
    std::string choices, completions;
    for (int i = 0; i < 9; ++i) {
      choices +=
          json{{"query", text("Question ", i, ": who?")}, {"choices", {"God", "the king", "no man"}}, {"gold", i % 3}}
              .dump() +
          "\n";
      completions += json{{"context", text(i, " In the")}, {"continuation", "beginning"}}.dump() + "\n";
    }
    write_text_file(folder_ / "choices.jsonl", choices);
    write_text_file(folder_ / "last.jsonl", completions);
  }
  Config config(const json& tasks) const {
    return folder_.config({{"model", {{"vocab_size", 401}, {"max_position_embeddings", 24}}},
                           {"data",
                            {{"train", folder_ / "words.bin"},
                             {"val", ""},
                             {"tokenizer", source_folder() + "/tests/tokenizer/golden/tokenizer.json"}}},
                           {"router", {{"type", "default"}}},
                           {"train", {{"global_batch_size", 4}, {"tasks", tasks}}}});
  }
  json both(int64_t every = 5) const {
    return {{"files", {(folder_ / "choices.jsonl").string(), (folder_ / "last.jsonl").string()}}, {"every", every}};
  }
  std::vector<json> scores_of(const fs::path& run) const {
    std::vector<json> rows;
    for (const json& row : metrics_of(run))
      if (row["event"] == "tasks") rows.push_back(row);
    return rows;
  }

  RunFolder folder_;
  const fs::path run_ = folder_ / "run";
};

TEST_F(TaskScores, AreRowsAndLines) {
  std::string screen;
  ASSERT_EQ(train_quietly(config(both()), run_, false, &screen), 0);
  const std::vector<json> rows = scores_of(run_);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0]["step"], 5);
  EXPECT_EQ(rows[2]["step"], 12) << "after the last step";
  const json& choices = rows[2]["tasks"]["choices"];
  EXPECT_EQ(choices["examples"], 9);
  EXPECT_EQ(choices["file_checksum"], read_task({"choices", folder_ / "choices.jsonl"}).checksum);
  EXPECT_EQ(choices["shots"], 0);
  EXPECT_TRUE(choices.contains("acc_norm"));
  EXPECT_NEAR(choices["chance"].get<double>(), 1 / 3.0, 1e-12);
  EXPECT_GT(rows[2]["tasks"]["last"]["perplexity"].get<double>(), 1.0);
  EXPECT_LT(rows[2]["tasks"]["last"]["perplexity"].get<double>(), rows[0]["tasks"]["last"]["perplexity"].get<double>());
  expect_contains(screen, "step 12  tasks\n  choices  accuracy 0.");
  expect_contains(screen, ", chance 0.333\n  last  accuracy ");
}

TEST_F(TaskScores, ChangeNothingAndAreResumedExactly) {
  train_quietly(config(both()), run_);
  train_quietly(config({}), folder_ / "plain");
  for (const char* file : {"model.safetensors", "optimizer.safetensors"})
    EXPECT_EQ(read_text_file(*latest_checkpoint(run_) / file),
              read_text_file(*latest_checkpoint(folder_ / "plain") / file));
  const fs::path cut = folder_ / "cut";
  copy_folder(run_, cut);
  cut_back(cut, 8);
  EXPECT_EQ(train_quietly(config(both()), cut, true), 0);
  expect_same_run(run_, cut);
  // Only the last step is left to be scored, and other keys may be given.
  cut_back(cut, 8);
  Config fewer = config(both(0));
  fewer.train.tasks.files.pop_back();
  fewer.train.tasks.limit = 4;
  EXPECT_EQ(train_quietly(fewer, cut, true), 0);
  EXPECT_EQ(scores_of(cut).size(), 2u);
  EXPECT_EQ(scores_of(cut)[1]["tasks"]["choices"]["examples"], 4);
  EXPECT_FALSE(scores_of(cut)[1]["tasks"].contains("last"));
}

TEST_F(TaskScores, RanksShareTheExamples) {
  Config shared = config(both());
  shared.router.type = "topk";
  shared.model.router_aux_loss_coef = 0;
  train_quietly(shared, run_);
  const fs::path other = folder_ / "ranks";
  ::testing::internal::CaptureStdout();
  run_ranks(2, [&](World& world) {
    omp_set_num_threads(1);
    train(shared, {.out = other, .matrix_rate = kMatrixRate}, world);
  });
  ::testing::internal::GetCapturedStdout();
  const std::vector<json> one = scores_of(run_), two = scores_of(other);
  ASSERT_EQ(one.size(), two.size());
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i]["tasks"]["choices"]["examples"], two[i]["tasks"]["choices"]["examples"]);
    EXPECT_NEAR(
        one[i]["tasks"]["last"]["perplexity"].get<double>() / two[i]["tasks"]["last"]["perplexity"].get<double>(), 1,
        1e-3);
  }
}

TEST_F(TaskScores, FaultsEndTheRunBeforeItBegins) {
  const auto refused = [&](const Config& given) {
    const std::string line = error_line<UserError>([&] { train_quietly(given, run_); });
    EXPECT_FALSE(fs::exists(run_));
    return line;
  };
  expect_contains(refused(config({{"files", "none.jsonl"}})), "train.tasks.files: none.jsonl: no such file or folder");
  write_text_file(folder_ / "broken.jsonl", "{\"query\": \"a\",\n");
  expect_contains(refused(config({{"files", (folder_ / "broken.jsonl").string()}})), "broken.jsonl:1:");
  Config bare = config(both());
  bare.data.tokenizer.clear();
  expect_contains(refused(bare), "train.tasks.files: tasks need a tokenizer; name it in data.tokenizer");
  Config small = config(both());
  small.model.vocab_size = 300;
  expect_contains(refused(small), "401 tokens, but model.vocab_size is 300");
  json many = both();
  many["shots"] = 9;
  const std::string line = refused(config(many));
  expect_contains(line, "train.tasks.shots: 9, but ");
  expect_contains(line, "; lower train.tasks.shots");
  const json named = {{"files", {{"mine", "a.jsonl"}}}};
  expect_contains(error_line<UserError>([&] { config(named); }),
                  "train.tasks.files[0]: tasks have the names of their files; give only a path");
}

}  // namespace
}  // namespace gptmoe::testing
