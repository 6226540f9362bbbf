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
  int64_t truncated = 0;  // examples of which the model did not see all
  Estimate acc = {};      // the likeliest candidate is the right one (the first of equals); completion: greedy decoding
                          // would give exactly the target
  // Multiple choice. The likeliest by log-likelihood over the choice's characters (code points), without the delimiter
  // (lm-evaluation-harness's acc_norm), and over the tokens scored (llm-foundry's accuracy).
  std::optional<Estimate> acc_norm = {}, acc_token = {};
  std::optional<Estimate> perplexity = {};  // completion: exp(-mean log-likelihood of a target)
  std::optional<double> chance = {};        // acc of guessing, where there are candidates
};

// `requests` are those of the task's first examples and `likelihoods` theirs.
TaskScore score_task(const Task& task, std::span<const Request> requests, std::span<const Likelihood> likelihoods);

// "acc", "acc_stderr", ...: what the task has; null for NaN.
nlohmann::ordered_json to_json(const TaskScore& score);

// A table's head and its rows, without the line's end; names are given `name_columns`.
std::string score_table_head(size_t name_columns);
std::string score_table_row(const TaskScore& score, size_t name_columns);

}  // namespace gptmoe
