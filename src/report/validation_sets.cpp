#include "report/validation_sets.h"

#include <algorithm>

namespace gptmoe {
namespace {

// The loss on the set; unknown if the evaluation lacks it.
std::optional<double> loss_on(const EvalRow& row, const std::string& set) {
  if (!row.val_loss_by_set) return std::nullopt;
  for (const auto& [name, loss] : *row.val_loss_by_set)
    if (name == set) return loss;
  return std::nullopt;
}

std::vector<Arm> arms_on(const Comparison& comparison, const std::string& set) {
  std::vector<Arm> arms;
  for (const ArmResult& result : comparison.arms) {
    Arm& arm = arms.emplace_back(Arm{result.arm.label, {}, result.arm.family, result.arm.settings});
    for (const RunLog& whole : result.arm.runs) {
      RunLog& run = arm.runs.emplace_back();
      run.dir = whole.dir;
      run.config = whole.config;
      run.planned_steps = whole.planned_steps;
      run.seed = whole.seed;
      run.evals = whole.evals;
      run.diverged = whole.diverged;
      for (EvalRow& row : run.evals) {
        row.val_loss = *loss_on(row, set);
        row.val_loss_ema.reset();  // it is over the tokens of all sets
      }
    }
  }
  return arms;
}

bool all_have(const Comparison& comparison, const std::string& set) {
  for (const ArmResult& result : comparison.arms)
    for (const RunLog& run : result.arm.runs)
      if (!std::all_of(run.evals.begin(), run.evals.end(), [&](const EvalRow& row) { return loss_on(row, set); }))
        return false;
  return true;
}

}  // namespace

std::vector<SetComparison> compare_by_set(const Comparison& comparison) {
  std::vector<SetComparison> sets;
  for (const RunLog& run : comparison.arms[0].arm.runs) {
    if (run.evals.empty() || !run.evals[0].val_loss_by_set) continue;
    for (const auto& [name, loss] : *run.evals[0].val_loss_by_set)
      if (all_have(comparison, name)) sets.push_back({name, compare(arms_on(comparison, name))});
    break;
  }
  if (sets.size() == 1) sets.clear();  // the rest of the report covers the only set
  return sets;
}

}  // namespace gptmoe
