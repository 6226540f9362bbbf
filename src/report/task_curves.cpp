#include "report/task_curves.h"

#include <map>

#include "base/check.h"
#include "report/number_text.h"
#include "report/report_charts.h"

namespace gptmoe {
namespace {

struct Scored {
  std::vector<double> steps, seconds, accuracies;  // a value for each run
};

}  // namespace

std::vector<TaskCurve> task_curves(const Comparison& comparison) {
  std::map<std::string, TaskCurve> curves;
  for (size_t arm = 0; arm < comparison.arms.size(); ++arm) {
    std::map<std::string, std::map<int64_t, Scored>> by_task;
    for (const RunLog& run : comparison.arms[arm].arm.runs)
      for (const TasksRow& row : run.tasks)
        for (const auto& [name, score] : row.tasks) {
          TaskCurve& curve = curves[name];
          curve.name = name;
          curve.chance = score.chance;
          Scored& scored = by_task[name][row.tokens];
          scored.steps.push_back(static_cast<double>(row.step));
          scored.seconds.push_back(row.seconds);
          scored.accuracies.push_back(score.acc);
        }
    for (const auto& [name, points] : by_task) {
      std::vector<std::vector<TaskPoint>>& by_arm = curves[name].by_arm;
      by_arm.resize(arm + 1);
      for (const auto& [tokens, scored] : points)
        by_arm[arm].push_back({tokens, statistics_of(scored.steps).mean, statistics_of(scored.seconds).mean,
                               statistics_of(scored.accuracies)});
    }
  }
  std::vector<TaskCurve> sorted;
  for (auto& [name, curve] : curves) {
    curve.by_arm.resize(comparison.arms.size());
    sorted.push_back(std::move(curve));
  }
  return sorted;
}

Chart task_chart(const Comparison& comparison, const TaskCurve& task, const std::string& id) {
  Chart chart;
  chart.id = id;
  chart.description = "Accuracy on " + task.name + " against training tokens";
  chart.x = token_axis();
  chart.y.title = "accuracy";
  for (size_t arm = 0; arm < comparison.arms.size(); ++arm) {
    const std::string& label = comparison.arms[arm].arm.label;
    Series series{comparison.single() ? "" : label, static_cast<int>(arm), 1, {}};
    series.name = label;
    for (const TaskPoint& point : task.by_arm[arm]) {
      const auto tokens = static_cast<double>(point.tokens);
      series.points.push_back(
          {tokens,
           point.acc.mean,
           point.acc.min,
           point.acc.max,
           text(label, "\naccuracy ", fixed(point.acc.mean, 3), "\n", tokens_text(tokens), " tokens"),
           {tokens, point.step, point.seconds}});
    }
    chart.series.push_back(std::move(series));
  }
  if (task.chance) {
    chart.reference = *task.chance;
    chart.reference_label = "guessing: " + fixed(*task.chance, 3);
  }
  return chart;
}

std::string last_accuracy(const TaskCurve& curve, size_t arm) {
  if (curve.by_arm[arm].empty()) return "";
  const Statistics& acc = curve.by_arm[arm].back().acc;
  return fixed(acc.mean, 3) + (acc.count > 1 ? " ± " + fixed(acc.std, 3) : "");
}

}  // namespace gptmoe
