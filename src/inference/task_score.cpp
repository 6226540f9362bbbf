#include "inference/task_score.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/check.h"

namespace gptmoe {
namespace {

Estimate mean_of(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, std::sqrt(squares / (n - 1) / n)};
}

int64_t code_points(const std::string& utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char byte) { return (byte & 0xc0) != 0x80; });
}

// Compares candidates by log-likelihood divided by `size(candidate)`.
template <typename Size>
double is_right(const Example& example, std::span<const Likelihood> likelihoods, Size size) {
  std::vector<double> scores;
  for (int64_t c = 0; c < example.candidates(); ++c)
    scores.push_back(likelihoods[static_cast<size_t>(c)].log_likelihood / static_cast<double>(size(c)));
  return std::max_element(scores.begin(), scores.end()) - scores.begin() == example.gold ? 1 : 0;
}

void score_candidates(TaskScore& score, const Task& task, std::span<const Request> requests,
                      std::span<const Likelihood> likelihoods) {
  std::vector<double> acc, acc_norm, acc_token, chance;
  for (size_t at = 0; at < requests.size();) {
    const Example& example = task.examples[acc.size()];
    const auto candidates = static_cast<size_t>(example.candidates());
    const auto own = likelihoods.subspan(at, candidates);
    const auto characters = [&](int64_t c) { return code_points(example.continuation(c)); };
    const auto tokens = [&](int64_t c) {
      const Request& request = requests[at + static_cast<size_t>(c)];
      return std::ssize(request.tokens) - request.first;
    };
    acc.push_back(is_right(example, own, [](int64_t) { return 1; }));
    acc_norm.push_back(is_right(example, own, characters));
    acc_token.push_back(is_right(example, own, tokens));
    chance.push_back(1.0 / static_cast<double>(example.candidates()));
    score.truncated += std::any_of(own.begin(), own.end(), [](const Likelihood& l) { return l.truncated; });
    at += candidates;
  }
  score.examples = std::ssize(acc);
  score.acc = mean_of(acc);
  score.chance = mean_of(chance).value;
  if (task.kind != TaskKind::multiple_choice) return;  // a schema's candidates share one continuation
  score.acc_norm = mean_of(acc_norm);
  score.acc_token = mean_of(acc_token);
}

void score_completions(TaskScore& score, std::span<const Likelihood> likelihoods) {
  std::vector<double> acc, losses;
  for (const Likelihood& likelihood : likelihoods) {
    acc.push_back(likelihood.greedy ? 1 : 0);
    losses.push_back(-likelihood.log_likelihood);
    score.truncated += likelihood.truncated;
  }
  score.examples = std::ssize(acc);
  score.acc = mean_of(acc);
  const Estimate loss = mean_of(losses);
  const double perplexity = std::exp(loss.value);
  score.perplexity = {perplexity, perplexity * loss.standard_error};  // to first order
}

void add(nlohmann::ordered_json& json, const std::string& name, const std::optional<Estimate>& estimate) {
  if (!estimate) return;
  json[name] = estimate->value;
  json[name + "_stderr"] = estimate->standard_error;
}

constexpr size_t kCountColumns = 8, kAccuracyColumns = 17, kPerplexityColumns = 22;

std::string right_aligned(const std::string& text, size_t columns) {
  return std::string(std::max(columns, text.size()) - text.size(), ' ') + text;
}

std::string number(const char* format, double value) {
  char out[32];
  std::snprintf(out, sizeof out, format, value);
  return out;
}

std::string cell(const std::optional<Estimate>& estimate, const char* format, size_t columns) {
  if (!estimate) return right_aligned("-", columns);
  const std::string value = number(format, estimate->value);
  if (std::isnan(estimate->standard_error)) return right_aligned(value, columns);
  constexpr size_t kHiddenBytes = 1;  // ± has two bytes in one column
  return right_aligned(text(value, " ± ", number(format, estimate->standard_error)), columns + kHiddenBytes);
}

}  // namespace

TaskScore score_task(const Task& task, std::span<const Request> requests, std::span<const Likelihood> likelihoods) {
  GPTMOE_CHECK(!requests.empty() && requests.size() == likelihoods.size());
  TaskScore score{task.name, task.file.string(), task.kind};
  if (task.kind == TaskKind::completion)
    score_completions(score, likelihoods);
  else
    score_candidates(score, task, requests, likelihoods);
  return score;
}

nlohmann::ordered_json to_json(const TaskScore& score) {
  nlohmann::ordered_json json = {{"task", score.name},
                                 {"file", score.file},
                                 {"kind", task_kind_name(score.kind)},
                                 {"examples", score.examples},
                                 {"truncated", score.truncated}};
  add(json, "acc", score.acc);
  add(json, "acc_norm", score.acc_norm);
  add(json, "acc_token", score.acc_token);
  add(json, "perplexity", score.perplexity);
  if (score.chance) json["chance"] = *score.chance;
  return json;
}

std::string score_table_head(size_t name_columns) {
  std::string head = "task";
  head.resize(std::max(name_columns, head.size()), ' ');
  for (const char* name : {"n", "chance"}) head += right_aligned(name, kCountColumns);
  for (const char* name : {"acc", "acc_norm", "acc_token"}) head += right_aligned(name, kAccuracyColumns);
  return head + right_aligned("perplexity", kPerplexityColumns);
}

std::string score_table_row(const TaskScore& score, size_t name_columns) {
  std::string row = score.name;
  row.resize(std::max({name_columns, row.size(), std::string("task").size()}), ' ');
  row += right_aligned(text(score.examples), kCountColumns);
  row += right_aligned(score.chance ? number("%.4f", *score.chance) : "-", kCountColumns);
  for (const auto& accuracy : {std::optional(score.acc), score.acc_norm, score.acc_token})
    row += cell(accuracy, "%.4f", kAccuracyColumns);
  return row + cell(score.perplexity, "%.4g", kPerplexityColumns);
}

}  // namespace gptmoe
