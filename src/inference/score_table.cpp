#include "inference/score_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "base/check.h"
#include "base/columns.h"
#include "base/progress.h"

namespace gptmoe {
namespace {

constexpr size_t kCountColumns = 8, kAccuracyColumns = 17, kPerplexityColumns = 22;
constexpr const char* kTask = "task";
constexpr const char* kIndent = "  ";

std::string right_aligned(const std::string& text, size_t columns) {
  return std::string(std::max(columns, columns_of(text)) - columns_of(text), ' ') + text;
}
std::string left_aligned(const std::string& text, size_t columns) {
  return text + std::string(std::max(columns, columns_of(text)) - columns_of(text), ' ');
}

std::string number(const char* format, double value) {
  if (std::isnan(value)) return "-";
  char out[32];
  std::snprintf(out, sizeof out, format, value);
  return out;
}

std::string cell(const std::optional<Estimate>& estimate, const char* format, size_t columns) {
  if (!estimate) return right_aligned("-", columns);
  const std::string value = number(format, estimate->value);
  if (std::isnan(estimate->standard_error)) return right_aligned(value, columns);
  return right_aligned(text(value, " ± ", number(format, estimate->standard_error)), columns);
}

std::string row_of(const Scores& scores, const std::string& name, size_t columns) {
  std::string row = left_aligned(name, columns) + right_aligned(text(scores.examples), kCountColumns) +
                    right_aligned(number("%.4f", scores.chance.value_or(kUnknown)), kCountColumns);
  for (const auto& accuracy : {std::optional(scores.acc), scores.acc_norm, scores.acc_token})
    row += cell(accuracy, "%.4f", kAccuracyColumns);
  return row + cell(scores.perplexity, "%.4g", kPerplexityColumns);
}

}  // namespace

size_t name_columns(const std::string& head, const std::vector<std::string>& names) {
  size_t columns = columns_of(head);
  for (const std::string& name : names) columns = std::max(columns, columns_of(name));
  return columns;
}

std::string score_table_head(size_t name_columns) {
  std::string head = left_aligned(kTask, name_columns);
  for (const char* name : {"n", "chance"}) head += right_aligned(name, kCountColumns);
  for (const char* name : {"acc", "acc_norm", "acc_token"}) head += right_aligned(name, kAccuracyColumns);
  return head + right_aligned("perplexity", kPerplexityColumns);
}

std::vector<std::string> score_table_rows(const TaskScore& score, size_t name_columns) {
  std::vector<std::string> rows = {row_of(score.all, score.all.name, name_columns)};
  for (const Scores& category : score.categories)
    rows.push_back(row_of(category, kIndent + category.name, name_columns));
  if (score.category_mean)
    rows.push_back(row_of(*score.category_mean, kIndent + score.category_mean->name, name_columns));
  return rows;
}

std::vector<std::string> task_row_names(const Task& task) {
  std::set<std::string> categories;
  for (const Example& example : task.examples)
    if (!example.category.empty()) categories.insert(example.category);
  std::vector<std::string> names = {task.name};
  for (const std::string& category : categories) names.push_back(kIndent + category);
  if (!categories.empty()) names.push_back(kIndent + category_mean_name(categories.size()));
  return names;
}

std::string score_sentence(const TaskScore& score) {
  const Scores& all = score.all;
  std::string sentence = text(all.name, "  accuracy ", number("%.3f", all.acc.value));
  if (!std::isnan(all.acc.standard_error)) sentence += " ± " + number("%.3f", all.acc.standard_error);
  if (all.chance) sentence += ", chance " + number("%.3f", *all.chance);
  if (all.perplexity) sentence += ", perplexity " + number("%.4g", all.perplexity->value);
  return sentence;
}

std::string text_sentence(const TextScore& score) {
  const double bits = score.bits_per_byte();
  return text("loss ", number("%.6f", score.loss), " nats/token, perplexity ", number("%.4f", score.perplexity),
              std::isnan(bits) ? "" : text(", ", number("%.4f", bits), " bits/byte"), " over ", score.tokens,
              " tokens of ", score.data);
}

std::vector<std::string> text_table(const std::vector<TextScore>& scores) {
  constexpr size_t kTokenColumns = 16, kLossColumns = 10, kValueColumns = 13;
  constexpr const char* kDomain = "domain";
  std::vector<std::string> rows;
  for (const TextScore& score : scores) rows.push_back(score.name);
  const size_t columns = name_columns(kDomain, rows);
  rows.clear();
  const auto row = [&](const std::string& name, const std::string& tokens, const std::string& loss,
                       const std::string& perplexity, const std::string& bits) {
    rows.push_back(left_aligned(name, columns) + right_aligned(tokens, kTokenColumns) +
                   right_aligned(loss, kLossColumns) + right_aligned(perplexity, kValueColumns) +
                   right_aligned(bits, kValueColumns));
  };
  row(kDomain, "tokens", "loss", "perplexity", "bits/byte");
  for (const TextScore& score : scores)
    row(score.name, grouped_digits(score.tokens), number("%.4f", score.loss), number("%.4f", score.perplexity),
        number("%.4f", score.bits_per_byte()));
  return rows;
}

std::vector<std::string> paired_table(const std::string& names, const std::vector<PairedScore>& scores) {
  constexpr size_t kMetricColumns = 11, kScoreColumns = 10, kIntervalColumns = 24;
  std::vector<std::string> rows;
  for (const PairedScore& score : scores) rows.push_back(score.name);
  const size_t columns = name_columns(names, rows);
  rows.clear();
  const auto row = [&](const std::string& name, const std::string& n, const std::string& metric,
                       const std::vector<std::string>& numbers, const std::string& interval, const std::string& p,
                       const std::string& verdict) {
    std::string line =
        left_aligned(name, columns) + right_aligned(n, kCountColumns) + right_aligned(metric, kMetricColumns);
    for (const std::string& value : numbers) line += right_aligned(value, kScoreColumns);
    rows.push_back(line + right_aligned(interval, kIntervalColumns) + right_aligned(p, kScoreColumns) + "  " + verdict);
  };
  row(names, "n", "metric", {"A", "B", "B - A"}, "95 % interval", "p", "verdict");
  for (const PairedScore& score : scores) {
    const PairedTest& test = score.test;
    const std::string interval =
        std::isnan(test.low) ? "-" : text(number("%+.4f", test.low), " to ", number("%+.4f", test.high));
    row(score.name, text(test.pairs), score.metric,
        {number("%.4f", score.a), number("%.4f", score.b), number("%+.4f", test.difference)}, interval,
        number("%.2g", test.p), verdict_of(score));
  }
  return rows;
}

}  // namespace gptmoe
