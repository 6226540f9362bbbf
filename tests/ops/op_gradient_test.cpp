// Compares every gradient of every OpCase with finite differences, in double. With a random dy for each output y, the
// backward must compute the gradient of
//   L(x) = sum over outputs of <dy, y(x)>.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "op_cases/case_run.h"
#include "ops/backends.h"
#include "support/sanitized.h"

namespace gptmoe {
namespace {

constexpr double kTolerance = 1e-6;  // relative to the tensor's largest gradient
constexpr double kStep = 1e-4;
// For a tensor too large to try every element: the number of single elements and of random directions to try.
constexpr int64_t kElements = 24;
constexpr int64_t kDirections = 6;
constexpr int64_t kHuge = 10000;  // a larger tensor gets two random directions only

// The terms dy * y of L, at x + distance * direction.
std::vector<double> weighted_outputs(CaseRun& run, std::string_view variable, const std::vector<double>& direction,
                                     double distance) {
  run.reset();
  std::vector<double> x = run.before(variable);
  for (size_t i = 0; i < x.size(); ++i) x[i] += distance * direction[i];
  run.write(variable, x);
  run.forward();
  std::vector<double> terms;
  for (const TensorSpec& spec : run.op().tensors) {
    if (spec.role != Role::output || !run.op().find("d" + spec.name)) continue;
    const std::vector<double> y = run.read(spec.name), dy = run.read("d" + spec.name);
    for (size_t i = 0; i < y.size(); ++i) terms.push_back(y[i] * dy[i]);
  }
  return terms;
}

// dL along the direction, as a five-point central difference. It is taken term by term, so that large constant terms do
// not cost precision.
double finite_difference(CaseRun& run, std::string_view variable, const std::vector<double>& direction) {
  const std::vector<double> plus = weighted_outputs(run, variable, direction, kStep);
  const std::vector<double> minus = weighted_outputs(run, variable, direction, -kStep);
  const std::vector<double> plus2 = weighted_outputs(run, variable, direction, 2 * kStep);
  const std::vector<double> minus2 = weighted_outputs(run, variable, direction, -2 * kStep);
  double sum = 0;
  for (size_t i = 0; i < plus.size(); ++i) sum += 8 * (plus[i] - minus[i]) - (plus2[i] - minus2[i]);
  return sum / (12 * kStep);
}

// The gradient that the backward wrote, without the previous content of a buffer that it adds to.
std::vector<double> claimed_gradient(const CaseRun& run, const TensorSpec& gradient) {
  std::vector<double> claimed = run.read(gradient.name);
  if (!gradient.fill) return claimed;
  const std::vector<double> before = run.before(gradient.name);
  for (size_t i = 0; i < claimed.size(); ++i) claimed[i] -= before[i];
  return claimed;
}

class OpGradient : public testing::TestWithParam<OpCase> {
 protected:
  // Compares <claimed, direction> with the finite difference.
  void check(std::string_view variable, const std::vector<double>& claimed, const std::vector<double>& direction,
             const std::string& where) {
    double analytic = 0, largest = 1e-8;
    for (size_t i = 0; i < claimed.size(); ++i) {
      analytic += claimed[i] * direction[i];
      largest = std::max(largest, std::abs(claimed[i]));
    }
    const double numeric = finite_difference(run_, variable, direction);
    largest = std::max(largest, std::abs(numeric));
    EXPECT_LE(std::abs(analytic - numeric) / largest, kTolerance)
        << "d" << variable << where << ": backward " << analytic << ", finite difference " << numeric;
  }

  CaseRun run_{GetParam(), double_ops(1)};
};

TEST_P(OpGradient, MatchesFiniteDifferences) {
  run_.forward();
  run_.backward();
  std::map<std::string, std::vector<double>> claimed;
  for (const TensorSpec& spec : GetParam().tensors)
    if (spec.role == Role::gradient) claimed[spec.name.substr(1)] = claimed_gradient(run_, spec);
  ASSERT_FALSE(claimed.empty());
  if (kSanitized) return;  // forward and backward have run; the differences only repeat the forward

  for (const auto& [variable, gradient] : claimed) {
    const int64_t count = static_cast<int64_t>(gradient.size());
    const Rng rng(1, hash_bytes(variable));
    const bool all = count <= kElements + kDirections, huge = count > kHuge;
    for (int64_t i = 0; i < (all ? count : huge ? 0 : kElements); ++i) {
      std::vector<double> direction(count, 0);
      const int64_t element = all ? i : static_cast<int64_t>(rng.below(i, count));
      direction[element] = 1;
      check(variable, gradient, direction, text("[", element, "]"));
    }
    for (int64_t d = 0; d < (all ? 0 : huge ? 2 : kDirections); ++d) {
      std::vector<double> direction(count);
      for (int64_t i = 0; i < count; ++i)
        direction[i] = (rng.bits(kElements + d * count + i) & 1 ? 1 : -1) / std::sqrt(static_cast<double>(count));
      check(variable, gradient, direction, text(" along random direction ", d));
    }
  }
}

std::vector<OpCase> cases_with_gradient() {
  std::vector<OpCase> cases = op_cases().tests;
  std::erase_if(cases, [](const OpCase& op) { return !op.backward; });
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Ops, OpGradient, testing::ValuesIn(cases_with_gradient()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gptmoe
