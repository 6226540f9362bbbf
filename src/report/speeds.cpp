#include "report/speeds.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "base/check.h"

namespace gptmoe {
namespace {

double median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  if (values.empty()) return kUnknown;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
}

void each_warm_row(const Arm& arm, const std::function<void(const TrainRow&)>& visit) {
  for (const RunLog& run : arm.runs)
    for (size_t i = std::min<size_t>(10, run.train.size() / 5); i < run.train.size(); ++i) visit(run.train[i]);
}

// Tokens per second at each logged step, the median over runs.
std::map<int64_t, double> speed_by_step(const Arm& arm) {
  std::map<int64_t, std::vector<double>> rows;
  each_warm_row(arm, [&](const TrainRow& row) { rows[row.step].push_back(row.tokens_per_second); });
  std::map<int64_t, double> speed;
  for (auto& [step, values] : rows) speed[step] = median(std::move(values));
  return speed;
}

std::string name_of(const Arm& arm, const RunLog& run) { return text(arm.label, " (", run.dir.string(), ")"); }

// Why the runs of this arm alone prevent a comparison of speeds; empty if they do not.
SpeedObstacle obstacle_in(const Arm& arm) {
  for (const RunLog& run : arm.runs) {
    if (run.at_once > 1)
      return {"shared machine", arm.label + " trained at the same time as other runs, which slow each other down"};
    if (run.provenance.empty() || run.provenance[0].from_step > 0)
      return {"machine unknown", name_of(arm, run) + " has no record of its build and machine from its first step on"};
    if (run.provenance.size() > 1)
      return {"machine changed",
              text(name_of(arm, run), " continued with another build or on another machine after step ",
                   run.provenance[1].from_step)};
  }
  return {};
}

// What differs between two runs that have one provenance entry each; empty if nothing does.
std::string difference(const Provenance& a, const Provenance& b) {
  if (a.build != b.build) return "build";
  if (a.machine != b.machine) return "machine";
  if (a.threads != b.threads) return "thread count";
  return a.ranks != b.ranks ? "rank count" : "";
}

}  // namespace

void measure_speed(ArmResult& result) {
  std::vector<double> speeds, mfus;
  each_warm_row(result.arm, [&](const TrainRow& row) {
    speeds.push_back(row.tokens_per_second);
    if (row.mfu) mfus.push_back(*row.mfu);
  });
  result.tokens_per_second = median(std::move(speeds));
  result.mfu = median(std::move(mfus));
}

double speed_ratio(const Arm& arm, const Arm& baseline) {
  const std::map<int64_t, double> ours = speed_by_step(arm), theirs = speed_by_step(baseline);
  std::vector<double> ratios;
  for (const auto& [step, speed] : ours)
    if (const auto match = theirs.find(step); match != theirs.end()) ratios.push_back(speed / match->second);
  return median(std::move(ratios));
}

SpeedObstacle speed_obstacle(const Arm& arm, const Arm& baseline) {
  for (const Arm* one : {&baseline, &arm})
    if (SpeedObstacle obstacle = obstacle_in(*one); !obstacle.brief.empty()) return obstacle;
  const RunLog& first = baseline.runs[0];
  for (const Arm* one : {&baseline, &arm})
    for (const RunLog& run : one->runs)
      if (const std::string what = difference(first.provenance[0], run.provenance[0]); !what.empty())
        return {"other " + what,
                text(name_of(*one, run), " was not trained with the same ", what, " as ", name_of(baseline, first))};
  return {};
}

}  // namespace gptmoe
