#include "report/paired_gap.h"

#include <algorithm>
#include <cmath>

namespace gptmoe {
namespace {

const RunLog* run_of_seed(const std::vector<RunLog>& runs, int64_t seed) {
  const auto found = std::find_if(runs.begin(), runs.end(), [&](const RunLog& run) { return run.seed == seed; });
  return found == runs.end() || found->evals.empty() ? nullptr : &*found;
}

// The logarithm of the run's perplexity at `at`; unknown if the loss is too large for a perplexity.
double log_perplexity_at(const RunLog& run, EvalAxis axis, int64_t at) {
  const double loss = loss_at(run, axis, at);
  return std::isfinite(std::exp(loss)) ? loss : kUnknown;
}

}  // namespace

std::vector<SeedPair> pairs_of(const std::vector<RunLog>& runs, const std::vector<RunLog>& baseline) {
  std::vector<SeedPair> pairs;
  for (const RunLog& run : runs) {
    if (!run.seed || run_of_seed(runs, *run.seed) != &run) continue;
    if (const RunLog* partner = run_of_seed(baseline, *run.seed)) pairs.push_back({*run.seed, &run, partner});
  }
  return pairs;
}

PairedGap gap_at(const std::vector<SeedPair>& pairs, EvalAxis axis, int64_t at) {
  PairedGap gap;
  std::vector<double> differences;
  for (const SeedPair& pair : pairs) {
    differences.push_back(log_perplexity_at(*pair.run, axis, at) - log_perplexity_at(*pair.baseline, axis, at));
    gap.by_seed.push_back({pair.seed, std::expm1(differences.back())});
  }
  const PairedTest test = paired_t_test(differences);
  gap.mean = std::expm1(test.difference);
  gap.low = std::expm1(test.low);
  gap.high = std::expm1(test.high);
  return gap;
}

Verdict verdict_of(const PairedGap& gap) {
  if (!std::isfinite(gap.low) || !std::isfinite(gap.high)) return Verdict::none;
  return gap.high < 0 ? Verdict::better : gap.low > 0 ? Verdict::worse : Verdict::undecided;
}

}  // namespace gptmoe
