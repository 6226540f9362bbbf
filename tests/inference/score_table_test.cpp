#include "inference/score_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/error_line.h"

namespace gptmoe::testing {
namespace {

int64_t columns(const std::string& line) {
  return std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

TEST(ScoreTable, RowsAlignWithTheirHead) {
  TaskScore score{TaskKind::multiple_choice, "arc_easy.jsonl", "", {"arc_easy", 2376}};
  score.all.acc = {0.25, 0.0089};
  score.all.acc_norm = {0.2504, std::nan("")};
  score.all.chance = 0.25;
  const std::string row = score_table_rows(score, 12)[0];
  EXPECT_EQ(columns(row), columns(score_table_head(12)));
  EXPECT_TRUE(row.starts_with("arc_easy        2376  0.2500  0.2500 ± 0.0089           0.2504")) << row;
  score.all.perplexity = {1.2345e10, 3.4567e9};
  EXPECT_EQ(columns(score_table_rows(score, 12)[0]), columns(score_table_head(12)));
  EXPECT_TRUE(score_table_rows(score, 12)[0].ends_with("1.234e+10 ± 3.457e+09"));
}

TEST(ScoreTable, CategoriesBelowTheirTask) {
  Task task{"exam", "exam.jsonl", TaskKind::multiple_choice, {}};
  std::vector<ItemScore> items;
  for (const char* category : {"law", "anatomie é", "law"}) {
    task.examples.push_back({1, {"q"}, {"x", "y"}, 0});
    task.examples.back().category = category;
    items.push_back({std::ssize(items), 0, {-1, -2}, {1, 1}, {1, 1}});
  }
  const size_t width = name_columns("task", task_row_names(task));
  EXPECT_EQ(width, std::string("  mean of 2 categories").size());
  const std::vector<std::string> rows = score_table_rows(score_task(task, items), width);
  ASSERT_EQ(rows.size(), 4u);
  const char* starts[] = {"exam                         3", "  anatomie é                 1",
                          "  law                        2", "  mean of 2 categories       3"};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(rows[i].starts_with(starts[i])) << rows[i];
    EXPECT_EQ(columns(rows[i]), columns(score_table_head(width)));
  }
}

TEST(ScoreTable, PairedScores) {
  PairedScore accuracy{"arc_easy", "acc", true, 0.25, 0.33, mcnemar_test(100, 1, 9), 1, 9};
  const PairedScore loss = pair_losses("lambada", {1, 2, 3}, {1, 2, 3.5});
  const std::vector<std::string> lines = paired_table("task", {accuracy, loss});
  ASSERT_EQ(lines.size(), 3u);
  expect_contains(lines[1], "0.2500    0.3300   +0.0800      +0.0110 to +0.0995     0.021  B better");
  expect_contains(lines[2], "2.0000    2.1667   +0.1667");
  EXPECT_TRUE(lines[2].ends_with("  undecided")) << lines[2];
  EXPECT_EQ(lines[0].find("verdict"), lines[1].find("B better"));
}

TEST(ScoreTable, Texts) {
  const TextScore text{"books", "b_*.bin", 2000, 2 * std::log(2.0), 4, 500};
  EXPECT_DOUBLE_EQ(text.bits_per_byte(), 8);  // 2 bits a token, 4 tokens a byte
  EXPECT_EQ(text_sentence(text),
            "loss 1.386294 nats/token, perplexity 4.0000, 8.0000 bits/byte over 2000 tokens of b_*.bin");
  const std::vector<std::string> lines = text_table({text, {"wiki", "w.bin", 10, 1, std::exp(1.0)}});
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[1].starts_with("books ") && lines[1].ends_with(" 2,000    1.3863       4.0000       8.0000"))
      << lines[1];
  EXPECT_TRUE(lines[2].ends_with("            -")) << lines[2];
  for (const std::string& line : lines) EXPECT_EQ(columns(line), columns(lines[0]));
}

}  // namespace
}  // namespace gptmoe::testing
