#include "inference/task_score.h"

#include <cmath>
#include <map>

#include "base/check.h"
#include "base/json.h"
#include "base/statistics.h"

namespace gptmoe {
namespace {

Estimate mean_of(const std::vector<double>& values) {
  const Statistics spread = statistics_of(values);
  return {spread.mean, spread.std / std::sqrt(static_cast<double>(spread.count))};
}

Scores score_of(const std::string& name, const Task& task, const std::vector<const ItemScore*>& items) {
  Scores scores{name, std::ssize(items)};
  std::vector<double> chance;
  for (const ItemScore* item : items) {
    scores.truncated += item->truncated;
    chance.push_back(1.0 / static_cast<double>(item->log_likelihoods.size()));
  }
  if (task.kind != TaskKind::completion) scores.chance = mean_of(chance).value;
  for (const Metric metric : metrics_of(task.kind)) {
    std::vector<double> values;
    for (const ItemScore* item : items) values.push_back(value_of(*item, task.kind, metric));
    const Estimate mean = mean_of(values);
    switch (metric) {
      case Metric::acc: scores.acc = mean; break;
      case Metric::acc_norm: scores.acc_norm = mean; break;
      case Metric::acc_token: scores.acc_token = mean; break;
      case Metric::loss: {
        const double perplexity = std::exp(mean.value);
        scores.perplexity = {perplexity, perplexity * mean.standard_error};  // to first order
        break;
      }
    }
  }
  return scores;
}

// The mean of independent estimates.
Estimate mean_of(const std::vector<Estimate>& estimates) {
  double sum = 0, variance = 0;
  for (const Estimate& estimate : estimates) {
    sum += estimate.value;
    variance += estimate.standard_error * estimate.standard_error;
  }
  const auto n = static_cast<double>(estimates.size());
  return {sum / n, std::sqrt(variance) / n};
}

Scores mean_of(const std::vector<Scores>& categories) {
  Scores mean{category_mean_name(categories.size())};
  std::vector<Estimate> acc, acc_norm, acc_token;
  std::vector<double> chance;
  for (const Scores& category : categories) {
    mean.examples += category.examples;
    mean.truncated += category.truncated;
    acc.push_back(category.acc);
    if (category.acc_norm) acc_norm.push_back(*category.acc_norm);
    if (category.acc_token) acc_token.push_back(*category.acc_token);
    if (category.chance) chance.push_back(*category.chance);
  }
  mean.acc = mean_of(acc);
  if (!acc_norm.empty()) mean.acc_norm = mean_of(acc_norm);
  if (!acc_token.empty()) mean.acc_token = mean_of(acc_token);
  if (!chance.empty()) mean.chance = mean_of(chance).value;
  return mean;
}

void add(nlohmann::ordered_json& json, const std::string& name, const std::optional<Estimate>& estimate) {
  if (!estimate) return;
  json[name] = estimate->value;
  json[name + "_stderr"] = estimate->standard_error;
}

void add(nlohmann::ordered_json& json, const Scores& scores) {
  json["examples"] = scores.examples;
  json["truncated"] = scores.truncated;
  add(json, "acc", scores.acc);
  add(json, "acc_norm", scores.acc_norm);
  add(json, "acc_token", scores.acc_token);
  add(json, "perplexity", scores.perplexity);
  if (scores.chance) json["chance"] = *scores.chance;
}

}  // namespace

std::string category_mean_name(size_t categories) {
  return text("mean of ", categories, categories == 1 ? " category" : " categories");
}

TaskScore score_task(const Task& task, std::span<const ItemScore> items) {
  GPTMOE_CHECK(!items.empty());
  std::vector<const ItemScore*> all;
  std::map<std::string, std::vector<const ItemScore*>> categories;
  for (const ItemScore& item : items) {
    all.push_back(&item);
    const std::string& category = task.examples[static_cast<size_t>(item.index)].category;
    if (!category.empty()) categories[category].push_back(&item);
  }
  TaskScore score{task.kind, task.file.string(), task.checksum, score_of(task.name, task, all)};
  for (const auto& [name, own] : categories) score.categories.push_back(score_of(name, task, own));
  if (!score.categories.empty()) score.category_mean = mean_of(score.categories);
  return score;
}

nlohmann::ordered_json to_json(const TaskScore& score) {
  nlohmann::ordered_json json = {{"task", score.all.name},
                                 {"file", score.file},
                                 {"checksum", score.checksum},
                                 {"kind", task_kind_name(score.kind)}};
  add(json, score.all);
  if (!score.categories.empty()) json["categories"] = nlohmann::ordered_json::array();
  for (const Scores& category : score.categories) {
    nlohmann::ordered_json own = {{"category", category.name}};
    add(own, category);
    json["categories"].push_back(own);
  }
  if (score.category_mean) add(json["category_mean"] = nlohmann::ordered_json::object(), *score.category_mean);
  return json;
}

}  // namespace gptmoe
