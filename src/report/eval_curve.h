#pragma once
// A run's evaluations as a curve, over tokens or over steps.
#include <cmath>
#include <cstdint>

#include "report/run_log.h"

namespace gptmoe {

// &EvalRow::tokens or &EvalRow::step: what a curve is drawn over.
using EvalAxis = int64_t EvalRow::*;

// Where `at` lies among the evals: between evals[before] and evals[before + 1]; fraction 0 is the eval itself.
struct EvalPosition {
  size_t before = 0;
  double fraction = 0;
};
// `at` must not lie outside the evals, of which there must be some.
EvalPosition locate(const std::vector<EvalRow>& evals, EvalAxis axis, int64_t at);

// field(row) at that place, interpolated linearly.
template <typename Field>
double interpolate(const std::vector<EvalRow>& evals, EvalAxis axis, int64_t at, Field field) {
  const EvalPosition place = locate(evals, axis, at);
  const double a = field(evals[place.before]);
  return place.fraction == 0 ? a : a + place.fraction * (field(evals[place.before + 1]) - a);
}

inline double loss_at(const RunLog& run, EvalAxis axis, int64_t at) {
  return interpolate(run.evals, axis, at, [](const EvalRow& row) { return row.val_loss; });
}
inline double perplexity_at(const RunLog& run, int64_t tokens) {
  return std::exp(loss_at(run, &EvalRow::tokens, tokens));
}

}  // namespace gptmoe
