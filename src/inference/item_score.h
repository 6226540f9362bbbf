#pragma once
// A model's scores on each example of a task. All reported scores of a task are computed from these.
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "inference/likelihoods.h"

namespace gptmoe {

enum class Metric {
  acc,  // 1 if the likeliest candidate is the right one (ties: the first), else 0; completion: 1 if greedy decoding
        // gives exactly the target
  acc_norm,   // acc with log-likelihood per character (code point) of the choice, without the delimiter, as in
              // lm-evaluation-harness
  acc_token,  // acc with log-likelihood per scored token, as in llm-foundry
  loss        // minus the log-likelihood of the target, in nats
};
std::string metric_name(Metric metric);
// The metrics of each kind: acc, acc_norm and acc_token for a multiple choice; acc for a schema, whose candidates share
// one continuation; acc and loss for a completion.
std::vector<Metric> metrics_of(TaskKind kind);

struct ItemScore {
  int64_t index = 0;                        // in the task's examples
  int64_t gold = 0;                         // the right candidate
  std::vector<double> log_likelihoods;      // of each candidate, in nats
  std::vector<int64_t> tokens, characters;  // of each candidate's continuation; tokens as scored
  bool greedy = false;                      // completion: greedy decoding gives exactly the target
  bool truncated = false;                   // the model saw only part of a candidate's context
};

// Scores of the task's first examples, one for each that `requests` and `likelihoods` cover.
std::vector<ItemScore> score_items(const Task& task, std::span<const Request> requests,
                                   std::span<const Likelihood> likelihoods);

// The candidate that the model chooses under an accuracy metric.
int64_t choice_of(const ItemScore& item, Metric metric);
// The item's value under `metric`, which is one of metrics_of(kind).
double value_of(const ItemScore& item, TaskKind kind, Metric metric);

// A line of `gptmoe eval --samples`, without the checkpoint: docs/eval.md lists the keys.
nlohmann::ordered_json to_json(const ItemScore& item, const Task& task);

}  // namespace gptmoe
