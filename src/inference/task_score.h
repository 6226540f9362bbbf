#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>

#include "inference/item_score.h"

namespace gptmoe {

// A mean over examples and its standard error, sqrt(sample variance / n); NaN for a single example.
struct Estimate {
  double value, standard_error;
};

struct Scores {
  std::string name;  // of the task, or of a category in it
  int64_t examples = 0;
  int64_t truncated = 0;  // examples that the model saw only in part
  Estimate acc = {};
  std::optional<Estimate> acc_norm = {}, acc_token = {};  // multiple choice
  std::optional<Estimate> perplexity = {};                // completion: exp(mean loss)
  std::optional<double> chance = {};                      // acc of guessing, if there are candidates
};

struct TaskScore {
  TaskKind kind;
  std::string file, checksum;
  Scores all;  // over all examples
  // Sorted by name; empty if the file has no categories.
  std::vector<Scores> categories = {};
  // The mean of the categories' accuracies, each with the same weight, as in llm-foundry; without a perplexity.
  std::optional<Scores> category_mean = {};
};

// "mean of 57 categories": the name of category_mean.
std::string category_mean_name(size_t categories);

// `items` are the scores of the task's first examples.
TaskScore score_task(const Task& task, std::span<const ItemScore> items);

// "acc", "acc_stderr", ...: the scores that the task has; null for NaN. With categories also "categories" and
// "category_mean".
nlohmann::ordered_json to_json(const TaskScore& score);

}  // namespace gptmoe
