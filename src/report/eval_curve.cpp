#include "report/eval_curve.h"

#include <algorithm>

#include "base/check.h"

namespace gptmoe {

EvalPosition locate(const std::vector<EvalRow>& evals, EvalAxis axis, int64_t at) {
  GPTMOE_CHECK(!evals.empty() && at >= evals.front().*axis && at <= evals.back().*axis);
  const auto after = std::upper_bound(evals.begin(), evals.end(), at,
                                      [axis](int64_t value, const EvalRow& row) { return value < row.*axis; });
  const auto before = static_cast<size_t>(after - evals.begin() - 1);
  if (evals[before].*axis == at) return {before, 0};
  return {before, static_cast<double>(at - evals[before].*axis) /
                      static_cast<double>(evals[before + 1].*axis - evals[before].*axis)};
}

}  // namespace gptmoe
