#pragma once
// The scores of two runs, A and B, on the same items.
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/paired_test.h"
#include "inference/item_score.h"

namespace gptmoe {

struct PairedScore {
  std::string name;    // of the task or of the domain
  std::string metric;  // "acc", "loss", ...
  bool more_is_better = true;
  double a = kUnknown, b = kUnknown;  // means over the items
  PairedTest test = {};               // of b - a
  // An accuracy is tested by McNemar's test, on the items that only one run gets right; other metrics are tested by
  // Student's t-test.
  std::optional<int64_t> only_a = {}, only_b = {};
};

// All metrics of a task. `a` and `b` are scores of the same examples.
std::vector<PairedScore> pair_scores(const Task& task, std::span<const ItemScore> a, std::span<const ItemScore> b);
// Compares the losses of both runs on the same items.
PairedScore pair_losses(const std::string& name, const std::vector<double>& a, const std::vector<double>& b);

// "A better" or "B better" if the interval of the difference excludes zero, else "undecided".
std::string verdict_of(const PairedScore& score);

// `names` is the JSON key under which the name is written: "task" or "domain".
nlohmann::ordered_json to_json(const PairedScore& score, const std::string& names);

}  // namespace gptmoe
