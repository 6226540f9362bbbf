#pragma once
// A run's evaluations as a curve, over tokens or over steps.
#include <cmath>
#include <cstdint>

#include "report/run_log.h"

namespace gptmoe {

// &EvalRow::tokens or &EvalRow::step: the x axis of a curve.
using EvalAxis = int64_t EvalRow::*;

// The position of `at` between evals[before] and evals[before + 1], as a fraction; 0 is at evals[before].
struct EvalPosition {
  size_t before = 0;
  double fraction = 0;
};
// `at` must be within the range of the evals, which must not be empty.
EvalPosition locate(const std::vector<EvalRow>& evals, EvalAxis axis, int64_t at);

// field(row) at `at`, interpolated linearly.
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
