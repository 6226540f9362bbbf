#pragma once
// The relative difference of two arms' perplexities, measured between runs of the same seed. Two runs of one seed start
// from the same weights and see the same batches, so the effect of the seed cancels in their difference.
#include <vector>

#include "base/paired_test.h"
#include "report/eval_curve.h"

namespace gptmoe {

// The runs of one seed in two arms. Both have evals.
struct SeedPair {
  int64_t seed;
  const RunLog* run;
  const RunLog* baseline;
};
// The pairs, in the order of `runs`. A run without a seed, or with the seed of an earlier run of its arm, has no
// partner.
std::vector<SeedPair> pairs_of(const std::vector<RunLog>& runs, const std::vector<RunLog>& baseline);

struct SeedGap {
  int64_t seed;
  double gap;  // the run's perplexity / its partner's - 1; unknown if either overflows
};

// The gap is computed from differences of the loss, ln(perplexity). exp(x) - 1 turns their mean and its Student's t
// interval into gaps.
struct PairedGap {
  std::vector<SeedGap> by_seed;
  double mean = kUnknown;                  // unknown without pairs
  double low = kUnknown, high = kUnknown;  // the interval of kConfidence; unknown for fewer than two pairs
};

// The gap at the point `at` of the axis, which every pair's evals must reach.
PairedGap gap_at(const std::vector<SeedPair>& pairs, EvalAxis axis, int64_t at);

enum class Verdict { none, better, worse, undecided };
// Better or worse if the interval excludes zero; none without an interval.
Verdict verdict_of(const PairedGap& gap);

}  // namespace gptmoe
