#pragma once
// Tables of scores for a terminal. Lines come without their final newline.
#include <string>
#include <vector>

#include "inference/paired_score.h"
#include "inference/task_score.h"
#include "inference/text_score.h"

namespace gptmoe {

// The width of a column of names under the heading `head`.
size_t name_columns(const std::string& head, const std::vector<std::string>& names);

// The heading of the table of tasks.
std::string score_table_head(size_t name_columns);
// A task's row, and below it the rows of its categories and of their mean. task_row_names() has the names of all these
// rows, indented in the same way.
std::vector<std::string> score_table_rows(const TaskScore& score, size_t name_columns);
// The names that score_table_rows() prints for a task whose examples are all scored.
std::vector<std::string> task_row_names(const Task& task);

// "arc_easy  accuracy 0.312 ± 0.014, chance 0.250", "lambada  accuracy 0.210 ± 0.006, perplexity 61.2"
std::string score_sentence(const TaskScore& score);

// "loss 3.1 nats/token, perplexity 22.2, 1.1 bits/byte over 65536 tokens of GLOB"
std::string text_sentence(const TextScore& score);
// A table of domains.
std::vector<std::string> text_table(const std::vector<TextScore>& scores);

// Both runs' scores, their difference and its test; `names` is the heading of the first column.
std::vector<std::string> paired_table(const std::string& names, const std::vector<PairedScore>& scores);

}  // namespace gptmoe
