#include "inference/paired_score.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"

namespace gptmoe::testing {
namespace {

// Two candidates; the first is the likelier one if `right`.
ItemScore choice(int64_t index, bool right) { return {index, 0, {right ? -1.0 : -3.0, -2.0}, {1, 1}, {1, 1}}; }

TEST(PairedScoreTest, AccuraciesByMcNemar) {
  Task task{"t", "t.jsonl", TaskKind::schema, {}};
  std::vector<ItemScore> a, b;
  const auto add = [&](int count, bool right_a, bool right_b) {
    for (int i = 0; i < count; ++i) {
      a.push_back(choice(std::ssize(a), right_a));
      b.push_back(choice(std::ssize(b), right_b));
    }
  };
  add(50, true, true);
  add(1, true, false);
  add(9, false, true);
  add(40, false, false);
  const std::vector<PairedScore> scores = pair_scores(task, a, b);
  ASSERT_EQ(scores.size(), 1u);
  EXPECT_EQ(scores[0].only_a, 1);
  EXPECT_EQ(scores[0].only_b, 9);
  EXPECT_DOUBLE_EQ(scores[0].a, 0.51);
  EXPECT_DOUBLE_EQ(scores[0].b, 0.59);
  EXPECT_NEAR(scores[0].test.p, 22 / 1024.0, 1e-15);
  EXPECT_EQ(verdict_of(scores[0]), "B better");
  EXPECT_EQ(verdict_of(pair_scores(task, b, a)[0]), "A better");
  EXPECT_EQ(verdict_of(pair_scores(task, a, a)[0]), "undecided");
  const nlohmann::json json = nlohmann::json::parse(to_json(scores[0], "task").dump());
  EXPECT_EQ(json["task"], "t");
  EXPECT_EQ(json["metric"], "acc");
  EXPECT_EQ(json["test"], "McNemar, exact");
  EXPECT_EQ(json["only_b"], 9);
  EXPECT_EQ(json["items"], 100);
  EXPECT_EQ(json["verdict"], "B better");
  EXPECT_TRUE(nlohmann::json::parse(to_json(pair_scores(task, a, a)[0], "task").dump())["low"].is_null());
}

TEST(PairedScoreTest, EveryMetricOfATask) {
  const auto metrics = [](TaskKind kind, const ItemScore& item) {
    const std::vector<ItemScore> items = {item};
    std::vector<std::string> names;
    for (const PairedScore& score : pair_scores({"t", "t.jsonl", kind, {}}, items, items))
      names.push_back(score.metric);
    return names;
  };
  EXPECT_EQ(metrics(TaskKind::multiple_choice, choice(0, true)),
            (std::vector<std::string>{"acc", "acc_norm", "acc_token"}));
  EXPECT_EQ(metrics(TaskKind::completion, {0, 0, {-2}, {1}, {1}}), (std::vector<std::string>{"acc", "loss"}));
}

// A lower loss is better.
TEST(PairedScoreTest, LossesByStudent) {
  const PairedScore score = pair_losses("books", {3, 2, 4, 3}, {2.5, 1.6, 3.4, 2.5});
  EXPECT_EQ(score.metric, "loss");
  EXPECT_DOUBLE_EQ(score.a, 3);
  EXPECT_NEAR(score.test.difference, -0.5, 1e-12);
  EXPECT_NEAR(score.test.high, -0.5 + 3.1824463 * std::sqrt(0.02 / 3) / 2, 1e-6);
  EXPECT_EQ(verdict_of(score), "B better");
  EXPECT_EQ(verdict_of(pair_losses("books", {2.5, 1.6, 3.4, 2.5}, {3, 2, 4, 3})), "A better");
  const nlohmann::json json = nlohmann::json::parse(to_json(score, "domain").dump());
  EXPECT_EQ(json["domain"], "books");
  EXPECT_EQ(json["test"], "paired t");
  EXPECT_FALSE(json.contains("only_a"));
}

}  // namespace
}  // namespace gptmoe::testing
