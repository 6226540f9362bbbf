#include "inference/paired_score.h"

#include "base/check.h"
#include "base/json.h"

namespace gptmoe {
namespace {

PairedScore pair_accuracies(const std::string& name, const std::string& metric, const std::vector<double>& a,
                            const std::vector<double>& b) {
  int64_t only_a = 0, only_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    only_a += a[i] > b[i];
    only_b += b[i] > a[i];
  }
  return {
      name,   metric, true, statistics_of(a).mean, statistics_of(b).mean, mcnemar_test(std::ssize(a), only_a, only_b),
      only_a, only_b};
}

}  // namespace

PairedScore pair_losses(const std::string& name, const std::vector<double>& a, const std::vector<double>& b) {
  GPTMOE_CHECK(a.size() == b.size(), a.size(), ", ", b.size());
  std::vector<double> differences;
  for (size_t i = 0; i < a.size(); ++i) differences.push_back(b[i] - a[i]);
  return {
      name, metric_name(Metric::loss), false, statistics_of(a).mean, statistics_of(b).mean, paired_t_test(differences)};
}

std::vector<PairedScore> pair_scores(const Task& task, std::span<const ItemScore> a, std::span<const ItemScore> b) {
  GPTMOE_CHECK(a.size() == b.size(), a.size(), ", ", b.size());
  std::vector<PairedScore> scores;
  for (const Metric metric : metrics_of(task.kind)) {
    std::vector<double> values_a, values_b;
    for (size_t i = 0; i < a.size(); ++i) {
      GPTMOE_CHECK(a[i].index == b[i].index, a[i].index, ", ", b[i].index);
      values_a.push_back(value_of(a[i], task.kind, metric));
      values_b.push_back(value_of(b[i], task.kind, metric));
    }
    scores.push_back(metric == Metric::loss ? pair_losses(task.name, values_a, values_b)
                                            : pair_accuracies(task.name, metric_name(metric), values_a, values_b));
  }
  return scores;
}

std::string verdict_of(const PairedScore& score) {
  if (!score.test.decided()) return "undecided";
  return (score.test.difference > 0) == score.more_is_better ? "B better" : "A better";
}

nlohmann::ordered_json to_json(const PairedScore& score, const std::string& names) {
  nlohmann::ordered_json json = {{names, score.name},
                                 {"metric", score.metric},
                                 {"items", score.test.pairs},
                                 {"a", score.a},
                                 {"b", score.b},
                                 {"difference", score.test.difference},
                                 {"low", score.test.low},
                                 {"high", score.test.high},
                                 {"p", score.test.p},
                                 {"test", score.only_a ? "McNemar, exact" : "paired t"}};
  if (score.only_a) json["only_a"] = *score.only_a, json["only_b"] = *score.only_b;
  json["verdict"] = verdict_of(score);
  return json;
}

}  // namespace gptmoe
