#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "inference/likelihoods.h"

namespace gptmoe {

// A mean over examples and its standard error, sqrt(sample variance / n); NaN for a single example.
struct Estimate {
  double value, standard_error;
};

struct TaskScore {
  std::string name, file;
  TaskKind kind;
  int64_t examples = 0;
  int64_t truncated = 0;  // examples that the model saw only in part
  Estimate acc = {};  // the likeliest candidate is the right one (ties: the first); completion: greedy decoding gives
                      // exactly the target
  // Multiple choice. acc with log-likelihood per character (code point) of the choice, without the delimiter
  // (lm-evaluation-harness's acc_norm), and per scored token (llm-foundry's accuracy).
  std::optional<Estimate> acc_norm = {}, acc_token = {};
  std::optional<Estimate> perplexity = {};  // completion: exp(-mean log-likelihood of a target)
  std::optional<double> chance = {};        // acc of guessing, if there are candidates
};

// Scores the task's first examples, to which `requests` and `likelihoods` belong.
TaskScore score_task(const Task& task, std::span<const Request> requests, std::span<const Likelihood> likelihoods);

// "acc", "acc_stderr", ...: the scores that the task has; null for NaN.
nlohmann::ordered_json to_json(const TaskScore& score);

// A table's head and its rows, without the final newline; names get `name_columns` columns.
std::string score_table_head(size_t name_columns);
std::string score_table_row(const TaskScore& score, size_t name_columns);

}  // namespace gptmoe
