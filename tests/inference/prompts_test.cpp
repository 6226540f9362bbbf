#include "inference/prompts.h"

#include <gtest/gtest.h>

#include <set>

#include "inference/task_fixture.h"
#include "support/error_line.h"

namespace gptmoe::testing {
namespace {

std::string prompt_of(const Task& task, size_t example, int64_t candidate, const PromptOptions& options) {
  return Prompts(task, options).prompt(example, candidate);
}

// All prompts that different seeds give.
std::set<std::string> prompts_of(const Task& task, size_t example, int64_t shots) {
  std::set<std::string> seen;
  for (uint64_t seed = 1; seed <= 40; ++seed) seen.insert(prompt_of(task, example, 0, {.shots = shots, .seed = seed}));
  return seen;
}

TEST(PromptsTest, JoinByTheDelimiter) {
  EXPECT_EQ(prompt_of(three_questions(), 1, 0, {}), "Q2 ");
  EXPECT_EQ(prompt_of(three_questions(), 1, 0, {.delimiter = "\nA: "}), "Q2\nA: ");
  const Task schema{"s", "s.jsonl", TaskKind::schema, {{1, {"x", "y"}, {"z"}, 0}}};
  EXPECT_EQ(prompt_of(schema, 0, 1, {}), "y ");
}

TEST(PromptsTest, ShotsAreSolvedExamplesButNeverTheOneAsked) {
  const Task task = three_questions();
  EXPECT_EQ(prompts_of(task, 0, 2), (std::set<std::string>{"Q2 c\nQ3 g\nQ1 ", "Q3 g\nQ2 c\nQ1 "}));
  EXPECT_EQ(prompt_of(task, 0, 0, {.shots = 2, .seed = 5}), prompt_of(task, 0, 1, {.shots = 2, .seed = 5}));
  EXPECT_EQ(error_of([&] { prompt_of(task, 0, 0, {.shots = 3}); }),
            "--shots: 3, but t.jsonl:1 has only 2 other examples in its file, not counting its copies; lower --shots");
}

// A copy of the example would give its answer away.
TEST(PromptsTest, CopiesAreNeverDrawn) {
  Task task{"t", "t.jsonl", TaskKind::multiple_choice, {}};
  task.examples = {{1, {"Q"}, {"a", "b"}, 1},
                   {2, {"Q"}, {"a", "b"}, 1},
                   {3, {"R"}, {"c", "d"}, 0},
                   {4, {"Q"}, {"b", "a"}, 0},
                   {5, {"Q"}, {"a", "c"}, 0}};
  const std::set<std::string> others = {"R c\nQ ", "Q a\nQ "};  // lines 3 and 5
  for (const size_t copy : {0, 1, 3}) EXPECT_EQ(prompts_of(task, copy, 1), others) << copy;
  EXPECT_EQ(prompts_of(task, 4, 1), (std::set<std::string>{"Q b\nQ ", "R c\nQ "}));
  EXPECT_EQ(error_of([&] { prompt_of(task, 1, 0, {.shots = 3}); }),
            "--shots: 3, but t.jsonl:2 has only 2 other examples in its file, not counting its copies; lower --shots");

  const Task completions{"t",
                         "t.jsonl",
                         TaskKind::completion,
                         {{1, {"1 + 1 ="}, {"2"}, 0}, {2, {"1 + 1 ="}, {"2"}, 0}, {3, {"2 + 2 ="}, {"4"}, 0}}};
  EXPECT_EQ(prompts_of(completions, 0, 1), std::set<std::string>{"2 + 2 = 4\n1 + 1 = "});
  const Task schemas{"t",
                     "t.jsonl",
                     TaskKind::schema,
                     {{1, {"x", "y"}, {"z"}, 0}, {2, {"y", "x"}, {"z"}, 1}, {3, {"x", "y"}, {"w"}, 1}}};
  EXPECT_EQ(prompts_of(schemas, 0, 1), std::set<std::string>{"y w\nx "});
}

TEST(PromptsTest, ShotsComeFromTheSameCategory) {
  Task task = three_questions();
  task.examples.push_back({4, {"Q4"}, {"h", "i"}, 1});
  for (size_t i = 0; i < 4; ++i) task.examples[i].category = i % 2 == 0 ? "even" : "odd";
  EXPECT_EQ(prompts_of(task, 0, 1), std::set<std::string>{"Q3 g\nQ1 "});
  EXPECT_EQ(prompts_of(task, 1, 1), std::set<std::string>{"Q4 i\nQ2 "});
  EXPECT_EQ(error_of([&] { prompt_of(task, 1, 0, {.shots = 2}); }),
            "--shots: 2, but t.jsonl:2 has only 1 other example in its category, not counting its copies; lower "
            "--shots");
}

}  // namespace
}  // namespace gptmoe::testing
