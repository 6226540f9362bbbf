#include "train/scalars.h"

#include <cstdio>
#include <string>
#include <string_view>

#include "base/check.h"
#include "records/expert_load.h"

namespace gptmoe {
namespace {

// Collects the numbers of a row. A visitor, see records/record.h.
class ScalarCollector {
 public:
  explicit ScalarCollector(std::string group) : group_(std::move(group)) {}

  std::vector<Scalar> take() { return std::move(scalars_); }

  void field(std::string_view key, int64_t value, const char*) { add(key, static_cast<double>(value)); }
  void field(std::string_view key, double value, const char*) { add(key, value); }
  template <typename T>
  void maybe(const char* key, const std::optional<T>& value, const char* sentence) {
    if (value) field(key, *value, sentence);
  }
  void maybe(std::string_view key, const std::vector<double>& by_layer, const char*) {
    constexpr std::string_view kByLayer = "_by_layer";
    if (key.ends_with(kByLayer)) key.remove_suffix(kByLayer.size());
    for (size_t layer = 0; layer < by_layer.size(); ++layer) {
      char number[24];
      std::snprintf(number, sizeof number, "/%02zu", layer);
      scalars_.push_back({group_ + "_layers/" + std::string(key) + number, by_layer[layer]});
    }
  }
  void maybe(const char*, const std::vector<std::vector<double>>&, const char*) {}
  void derived(const char* key, double value, const char*) { add(key, value); }

  void field(const char* key, const Named<double>& values, const char*) {
    const std::string plain = std::string_view(key).starts_with("val_") ? key + 4 : key;
    for (const auto& [name, value] : values) scalars_.push_back({group_ + "_" + plain + "/" + name, value});
  }
  void field(const char* key, const Named<TrafficRow>& traffic, const char*) {
    for (const auto& [kind, row] : traffic) {
      const std::string tag = group_ + "_" + key + "/" + kind;
      scalars_.push_back({tag + "_bytes", static_cast<double>(row.bytes)});
      if (row.seconds) scalars_.push_back({tag + "_seconds", *row.seconds});
    }
  }

 private:
  void add(std::string_view key, double value) {
    for (const char* left_out : {"step", "tokens", "seconds", "time"})
      if (key == left_out) return;
    if (key.starts_with("val_")) key.remove_prefix(4);
    scalars_.push_back({group_ + "/" + std::string(key), value});
  }

  std::string group_;
  std::vector<Scalar> scalars_;
};

}  // namespace

std::vector<Scalar> scalars_of(const TrainRow& row) {
  ScalarCollector collector("train");
  visit_fields(collector, row);
  return collector.take();
}

std::vector<Scalar> scalars_of(const TasksRow& row) {
  std::vector<Scalar> scalars;
  for (const auto& [name, score] : row.tasks) {
    const auto add = [&, &name = name](const char* key, const std::optional<double>& value) {
      if (value) scalars.push_back({text("tasks_", key, "/", name), *value});
    };
    add("acc", score.acc);
    add("acc_norm", score.acc_norm);
    add("acc_token", score.acc_token);
    add("perplexity", score.perplexity);
  }
  return scalars;
}

std::vector<Scalar> scalars_of(const EvalRow& row) {
  ScalarCollector collector("eval");
  visit_fields(collector, row);
  std::vector<Scalar> scalars = collector.take();
  int64_t dead = 0;
  for (const std::vector<double>& layer : row.expert_load) dead += dead_experts(layer);
  if (!row.expert_load.empty()) scalars.push_back({"eval/dead_experts", static_cast<double>(dead)});
  return scalars;
}

}  // namespace gptmoe
