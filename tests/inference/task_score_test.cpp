#include "inference/task_score.h"

#include <gtest/gtest.h>
#include <omp.h>

#include "inference/task_fixture.h"

namespace gptmoe::testing {
namespace {

Likelihood likelihood(double value, bool greedy = false, bool truncated = false) { return {value, greedy, truncated}; }

// A request with two tokens of context and `scored` tokens to score.
Request request_of(int64_t scored) { return {std::vector<int32_t>(static_cast<size_t>(2 + scored)), 2}; }

TEST(TaskScoreTest, MultipleChoiceByHand) {
  Task task{"t", "t.jsonl", TaskKind::multiple_choice, {}};
  task.examples = {{1, {"q"}, {"aaaa", "bb"}, 0},      // -6 is below -4, but -6/4 per character is above -4/2
                   {2, {"q"}, {"a", "b", "c"}, 2},     // correct by every measure
                   {3, {"q"}, {"a", "b", "c"}, 1},     // wrong by every measure: a tie goes to the first
                   {4, {"q"}, {"\xc3\xa9", "x"}, 0}};  // one character of two bytes: -4/1 is below -3/1
  const std::vector<Request> requests = {request_of(1), request_of(1), request_of(1), request_of(1), request_of(1),
                                         request_of(1), request_of(1), request_of(1), request_of(2), request_of(1)};
  const std::vector<Likelihood> likelihoods = {
      likelihood(-6), likelihood(-4), likelihood(-3), likelihood(-2), likelihood(-1),
      likelihood(-2), likelihood(-2), likelihood(-2), likelihood(-4), likelihood(-3, false, true)};
  const Scores score = score_task(task, score_items(task, requests, likelihoods)).all;
  EXPECT_EQ(score.examples, 4);
  EXPECT_EQ(score.truncated, 1);
  EXPECT_DOUBLE_EQ(score.acc.value, 0.25);        // 0 1 0 0
  EXPECT_DOUBLE_EQ(score.acc_norm->value, 0.5);   // 1 1 0 0
  EXPECT_DOUBLE_EQ(score.acc_token->value, 0.5);  // 0 1 0 1
  EXPECT_DOUBLE_EQ(score.acc.standard_error, 0.25);
  EXPECT_DOUBLE_EQ(score.acc_token->standard_error, std::sqrt(1.0 / 3 / 4));
  EXPECT_DOUBLE_EQ(*score.chance, (0.5 + 0.5 + 2.0 / 3) / 4);
  EXPECT_FALSE(score.perplexity);

  const TaskScore first =
      score_task(task, score_items(task, std::span(requests).first(2), std::span(likelihoods).first(2)));
  EXPECT_EQ(first.all.examples, 1);
  EXPECT_TRUE(std::isnan(first.all.acc.standard_error));
  EXPECT_TRUE(nlohmann::json::parse(to_json(first).dump())["acc_stderr"].is_null());
}

TEST(TaskScoreTest, CompletionByHand) {
  const Task task{"t", "t.jsonl", TaskKind::completion, {{1, {"c"}, {"x"}, 0}, {2, {"c"}, {"y"}, 0}}};
  const std::vector<Request> requests = {request_of(1), request_of(3)};
  const std::vector<Likelihood> likelihoods = {likelihood(-1, true), likelihood(-3, false, true)};
  const TaskScore whole = score_task(task, score_items(task, requests, likelihoods));
  const Scores& score = whole.all;
  EXPECT_DOUBLE_EQ(score.acc.value, 0.5);
  EXPECT_DOUBLE_EQ(score.perplexity->value, std::exp(2.0));  // per target, not per token
  EXPECT_DOUBLE_EQ(score.perplexity->standard_error, std::exp(2.0));
  EXPECT_EQ(score.truncated, 1);
  EXPECT_FALSE(score.acc_norm || score.acc_token || score.chance);
  const nlohmann::json json = nlohmann::json::parse(to_json(whole).dump());
  EXPECT_EQ(json["kind"], "completion");
  EXPECT_EQ(json["acc"], 0.5);
  EXPECT_FALSE(json.contains("acc_norm") || json.contains("chance"));
}

// Two examples of one category count as much as one of the other.
TEST(TaskScoreTest, CategoriesHaveTheSameWeight) {
  Task task{"t", "t.jsonl", TaskKind::multiple_choice, {}};
  for (const char* category : {"b", "a", "b", "b"}) {
    task.examples.push_back({std::ssize(task.examples) + 1, {"q"}, {"x", "y"}, 0});
    task.examples.back().category = category;
  }
  std::vector<Request> requests(8, request_of(1));
  std::vector<Likelihood> likelihoods;
  for (const bool right : {true, true, false, false})
    for (const bool gold : {true, false}) likelihoods.push_back(likelihood(gold == right ? -1 : -2));
  const TaskScore score = score_task(task, score_items(task, requests, likelihoods));
  EXPECT_DOUBLE_EQ(score.all.acc.value, 0.5);
  ASSERT_EQ(score.categories.size(), 2u);
  EXPECT_EQ(score.categories[0].name, "a");
  EXPECT_EQ(score.categories[0].examples, 1);
  EXPECT_DOUBLE_EQ(score.categories[0].acc.value, 1);
  EXPECT_DOUBLE_EQ(score.categories[1].acc.value, 1.0 / 3);
  EXPECT_DOUBLE_EQ(score.category_mean->acc.value, 2.0 / 3);
  EXPECT_DOUBLE_EQ(score.category_mean->acc_token->value, 2.0 / 3);
  EXPECT_EQ(score.category_mean->examples, 4);
  EXPECT_TRUE(std::isnan(score.category_mean->acc.standard_error)) << "unknown for a category of one example";
  const nlohmann::json json = nlohmann::json::parse(to_json(score).dump());
  EXPECT_EQ(json["categories"][1]["category"], "b");
  EXPECT_EQ(json["categories"][1]["examples"], 3);
  EXPECT_DOUBLE_EQ(json["category_mean"]["acc"], 2.0 / 3);

  // If every category has a standard error, the mean of the two categories has half the root of the sum of their
  // squares.
  for (Example& example : task.examples) example.category = example.line <= 2 ? "a" : "b";
  likelihoods[4] = likelihood(-1), likelihoods[5] = likelihood(-2), likelihoods[2] = likelihood(-3);
  const TaskScore even = score_task(task, score_items(task, requests, likelihoods));
  EXPECT_DOUBLE_EQ(even.categories[0].acc.standard_error, 0.5);
  EXPECT_DOUBLE_EQ(even.category_mean->acc.standard_error, std::sqrt(0.5) / 2);
}

TEST(ItemScoreTest, LinesOfSamples) {
  Task task{"t", "t.jsonl", TaskKind::multiple_choice, {{3, {"q"}, {"aaaa", "\xc3\xa9"}, 0}}};
  task.examples[0].category = "law";
  const std::vector<Request> requests = {request_of(1), request_of(2)};
  const std::vector<Likelihood> likelihoods = {likelihood(-6), likelihood(-4, false, true)};
  const nlohmann::json choice =
      nlohmann::json::parse(to_json(score_items(task, requests, likelihoods)[0], task).dump());
  EXPECT_EQ(choice, nlohmann::json::parse(R"({"task": "t", "index": 0, "line": 3, "category": "law",
      "log_likelihoods": [-6, -4], "tokens": [1, 2], "characters": [4, 1], "answer": 0,
      "predicted": {"acc": 1, "acc_norm": 0, "acc_token": 1},
      "correct": {"acc": false, "acc_norm": true, "acc_token": false}, "truncated": true})"));

  const Task last{"l", "l.jsonl", TaskKind::completion, {{1, {"c"}, {"xy"}, 0}}};
  const std::vector<Likelihood> one = {likelihood(-1.5, true)};
  EXPECT_EQ(nlohmann::json::parse(to_json(score_items(last, std::span(requests).first(1), one)[0], last).dump()),
            nlohmann::json::parse(R"({"task": "l", "index": 0, "line": 1, "log_likelihood": -1.5, "tokens": 1,
      "characters": 2, "correct": {"acc": true}, "truncated": false})"));

  const Task schema{"s", "s.jsonl", TaskKind::schema, {{1, {"c", "d"}, {"xy"}, 1}}};
  const nlohmann::json line =
      nlohmann::json::parse(to_json(score_items(schema, requests, likelihoods)[0], schema).dump());
  EXPECT_EQ(line["predicted"], nlohmann::json::parse(R"({"acc": 1})"));
  EXPECT_EQ(line["correct"], nlohmann::json::parse(R"({"acc": true})"));
}

// ---- Models ------------------------------------------------------------------------------------------------------

class TaskOfAModel : public ::testing::Test {
 protected:
  void SetUp() override { omp_set_num_threads(1); }

  static Scores score(Model& model, const Task& task) {
    const auto requests = make_requests(task, SIZE_MAX, {}, byte_tokenizer());
    const ScoringOptions options{256, task.kind == TaskKind::completion};
    const auto likelihoods = score_requests(model.gpt(), *model.ops, requests, options, [](int64_t, int64_t) {});
    return score_task(task, score_items(task, requests, likelihoods)).all;
  }
  static std::string random_word(uint64_t stream, int64_t letters) {
    std::string word;
    for (int64_t i = 0; i < letters; ++i)
      word += static_cast<char>('a' + Rng(3, stream).below(static_cast<uint64_t>(i), 26));
    return word;
  }
  // Examples with four choices of random words. The right choice is the first, the second, ... in turn.
  static Task random_choices(int64_t examples, int64_t longest) {
    Task task{"random", "random.jsonl", TaskKind::multiple_choice, {}};
    for (int64_t i = 0; i < examples; ++i) {
      Example example{i + 1, {random_word(static_cast<uint64_t>(i), 6)}, {}, i % 4};
      for (int64_t c = 0; c < 4; ++c)
        example.continuations.push_back(random_word(static_cast<uint64_t>(1000 + 4 * i + c), 1 + (i + c) % longest));
      task.examples.push_back(example);
    }
    return task;
  }
};

TEST_F(TaskOfAModel, AnUntrainedModelGuesses) {
  Model model(byte_config(32));
  const Scores score = TaskOfAModel::score(model, random_choices(400, 5));
  EXPECT_EQ(score.chance, 0.25);
  for (const Estimate& accuracy : {score.acc, *score.acc_norm, *score.acc_token})
    EXPECT_NEAR(accuracy.value, 0.25, 4 * accuracy.standard_error);
  EXPECT_NEAR(score.acc.standard_error, std::sqrt(0.25 * 0.75 / 400), 0.003);
}

// If all tokens are equally likely, the shortest choice wins by its sum, and the first one by its mean.
TEST_F(TaskOfAModel, AModelThatKnowsNothingPrefersTheShortest) {
  Model model(byte_config(32));
  set_rows(model.gpt(), "lm_head.weight", [](int64_t) { return 0; });
  Task task{"t", "t.jsonl", TaskKind::multiple_choice, {}};
  for (int64_t gold = 0; gold < 3; ++gold) task.examples.push_back({gold + 1, {"q"}, {"aaa", "b", "cc"}, gold});
  const Scores score = TaskOfAModel::score(model, task);
  EXPECT_DOUBLE_EQ(score.acc.value, 1.0 / 3);         // the second choice wins
  EXPECT_DOUBLE_EQ(score.acc_token->value, 1.0 / 3);  // the first choice wins the tie
  const Task last{"t", "t.jsonl", TaskKind::completion, {{1, {"x"}, {"ab"}, 0}}};
  // " ab" is three tokens, each with probability 1/257.
  EXPECT_NEAR(TaskOfAModel::score(model, last).perplexity->value, std::pow(257.0, 3), 1e3);
}

TEST_F(TaskOfAModel, ABigramModelIsRightWhereItsTableSaysSo) {
  BigramModel model(32);
  const Task task = random_choices(60, 4);
  const auto log_likelihood = [](const std::string& text) {
    double sum = 0;
    for (size_t i = 1; i < text.size(); ++i) sum += BigramModel::log_probability(text[i - 1], text[i]);
    return sum;
  };
  int64_t right = 0, right_by_size = 0;
  for (const Example& example : task.examples) {
    std::vector<double> sums, by_size;
    for (const std::string& choice : example.continuations) {
      const double sum = log_likelihood(example.contexts[0].back() + (" " + choice));
      sums.push_back(sum);
      by_size.push_back(sum / static_cast<double>(choice.size()));
    }
    right += std::max_element(sums.begin(), sums.end()) - sums.begin() == example.gold;
    right_by_size += std::max_element(by_size.begin(), by_size.end()) - by_size.begin() == example.gold;
  }
  ASSERT_NE(right, right_by_size);
  const Scores score = TaskOfAModel::score(model, task);
  EXPECT_DOUBLE_EQ(score.acc.value, static_cast<double>(right) / 60);
  EXPECT_DOUBLE_EQ(score.acc_norm->value, static_cast<double>(right_by_size) / 60);
}

}  // namespace
}  // namespace gptmoe::testing
