#include "inference/item_score.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"

namespace gptmoe {
namespace {

int64_t code_points(const std::string& utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char byte) { return (byte & 0xc0) != 0x80; });
}

// The number by which `metric` divides a candidate's log-likelihood.
int64_t size_of(const ItemScore& item, Metric metric, size_t candidate) {
  if (metric == Metric::acc_norm) return item.characters[candidate];
  if (metric == Metric::acc_token) return item.tokens[candidate];
  return 1;
}

}  // namespace

std::string metric_name(Metric metric) {
  switch (metric) {
    case Metric::acc: return "acc";
    case Metric::acc_norm: return "acc_norm";
    case Metric::acc_token: return "acc_token";
    case Metric::loss: return "loss";
  }
  GPTMOE_CHECK(false, "unknown metric");
}

std::vector<Metric> metrics_of(TaskKind kind) {
  switch (kind) {
    case TaskKind::multiple_choice: return {Metric::acc, Metric::acc_norm, Metric::acc_token};
    case TaskKind::schema: return {Metric::acc};
    case TaskKind::completion: return {Metric::acc, Metric::loss};
  }
  GPTMOE_CHECK(false, "unknown kind of task");
}

std::vector<ItemScore> score_items(const Task& task, std::span<const Request> requests,
                                   std::span<const Likelihood> likelihoods) {
  GPTMOE_CHECK(!requests.empty() && requests.size() == likelihoods.size());
  std::vector<ItemScore> items;
  for (size_t at = 0; at < requests.size();) {
    const Example& example = task.examples[items.size()];
    ItemScore item{std::ssize(items), example.gold, {}, {}, {}};
    for (int64_t c = 0; c < example.candidates(); ++c, ++at) {
      item.log_likelihoods.push_back(likelihoods[at].log_likelihood);
      item.tokens.push_back(std::ssize(requests[at].tokens) - requests[at].first);
      item.characters.push_back(code_points(example.continuation(c)));
      item.greedy = likelihoods[at].greedy;
      item.truncated |= likelihoods[at].truncated;
    }
    items.push_back(std::move(item));
  }
  return items;
}

int64_t choice_of(const ItemScore& item, Metric metric) {
  std::vector<double> scores;
  for (size_t c = 0; c < item.log_likelihoods.size(); ++c)
    scores.push_back(item.log_likelihoods[c] / static_cast<double>(size_of(item, metric, c)));
  return std::max_element(scores.begin(), scores.end()) - scores.begin();
}

double value_of(const ItemScore& item, TaskKind kind, Metric metric) {
  if (metric == Metric::loss) return -item.log_likelihoods[0];
  if (kind == TaskKind::completion) return item.greedy ? 1 : 0;
  return choice_of(item, metric) == item.gold ? 1 : 0;
}

nlohmann::ordered_json to_json(const ItemScore& item, const Task& task) {
  const Example& example = task.examples[static_cast<size_t>(item.index)];
  nlohmann::ordered_json json = {{"task", task.name}, {"index", item.index}, {"line", example.line}};
  if (!example.category.empty()) json["category"] = example.category;
  const bool choice = task.kind != TaskKind::completion;
  if (choice) {
    json["log_likelihoods"] = item.log_likelihoods;
    json["tokens"] = item.tokens;
    json["characters"] = item.characters;
    json["answer"] = item.gold;
  } else {
    json["log_likelihood"] = item.log_likelihoods[0];
    json["tokens"] = item.tokens[0];
    json["characters"] = item.characters[0];
  }
  nlohmann::ordered_json predicted = nlohmann::ordered_json::object(), correct = nlohmann::ordered_json::object();
  for (const Metric metric : metrics_of(task.kind)) {
    if (metric == Metric::loss) continue;
    if (choice) predicted[metric_name(metric)] = choice_of(item, metric);
    correct[metric_name(metric)] = value_of(item, task.kind, metric) == 1;
  }
  if (!predicted.empty()) json["predicted"] = std::move(predicted);
  if (!correct.empty()) json["correct"] = std::move(correct);
  json["truncated"] = item.truncated;
  return json;
}

}  // namespace gptmoe
