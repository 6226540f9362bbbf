#pragma once
// Compares arms, each of which has several runs. Every number that the reports print is computed here.
//
// Perplexity is exp(validation loss). Between two evals of a run, its loss, seconds and entropies are interpolated
// linearly in tokens. A quantity of an arm is the arithmetic mean over the arm's runs (seeds) at equal tokens; the
// difference between two arms is measured between runs of equal seed (report/paired_gap.h).
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/statistics.h"
#include "report/paired_gap.h"
#include "report/reference.h"
#include "report/run_log.h"

namespace gptmoe {

// A setting of a sweep: a path of the config and its value as written.
struct Setting {
  std::string path, value;
  bool operator==(const Setting&) const = default;
};

// One configuration trained once per seed.
struct Arm {
  std::string label;
  std::vector<RunLog> runs;
  std::string family = label;          // the config file it comes from; several arms of a sweep share one
  std::vector<Setting> settings = {};  // of a sweep
};

// Why the speeds of two arms are not compared (report/speeds.h).
struct SpeedObstacle {
  std::string brief;     // "other machine"; empty if they are compared
  std::string sentence;  // names the runs and the reason, without a full stop
};

struct CurvePoint {
  int64_t tokens = 0;
  double step = 0, seconds = 0;  // means over runs
  Statistics perplexity;
  double perplexity_ema = kUnknown;    // of the averaged weights, mean over runs; unknown if one run lacks it
  std::vector<double> router_entropy;  // [MoE layer] nats, mean over runs; empty in dense models
};

struct GapPoint {
  int64_t tokens = 0, step = 0;  // of the arm
  double seconds = 0;            // of the arm's run in the first pair
  PairedGap gap;
};

// The point from which a curve stays at or below a target at every later eval. It is interpolated linearly in
// ln(perplexity) between the last eval above the target and the next eval. If no eval is above the target, it is the
// first eval. A target that is not finite is not reached.
struct Crossing {
  double tokens = 0;
  double seconds = 0;
};
std::optional<Crossing> reaches(const std::vector<CurvePoint>& curve, double target_perplexity);
// ours.tokens / theirs.tokens - 1; unknown if either is 0, that is, if initial weights already reach the target.
double tokens_change(const Crossing& ours, const Crossing& theirs);

// The number of loss spikes: rows whose loss is more than six standard deviations above the mean of the hundred
// preceding rows. (OLMo 2's spike score uses seven deviations and a thousand rows; runs here are shorter.) Consecutive
// spikes count as one. A loss that is not finite is a spike too. Returns nullopt for a hundred rows or fewer.
std::optional<int64_t> loss_spikes(const std::vector<TrainRow>& rows);

struct ArmResult {
  Arm arm;

  // One point per token count where some run was evaluated, between the latest of the runs' first evals and the
  // earliest of their last evals. Every point is a mean over all runs that have evals, so an unfinished run ends the
  // curve of its arm.
  std::vector<CurvePoint> curve;
  // Perplexity at Comparison::matched_tokens; unknown if a run diverged, like everything derived from it.
  Statistics matched;
  // The gap to the baseline at Comparison::matched_tokens, and at every token count where a run of a pair was
  // evaluated. Empty for the baseline, without common seeds, and if a run of either arm diverged.
  PairedGap matched_gap;
  std::vector<GapPoint> gap;
  // The gap at equal steps, if the arm has more or fewer tokens per step than the baseline; otherwise empty.
  std::vector<GapPoint> gap_by_steps;

  // Tokens and seconds to Comparison::target_perplexity, of the mean curve and of each run; nullopt: not reached.
  std::optional<Crossing> target;
  std::vector<std::optional<Crossing>> run_targets;
  double target_tokens_change = kUnknown;   // tokens_change(target, the baseline's); unknown if one is not reached
  double target_seconds_change = kUnknown;  // target->seconds / the baseline's - 1, if speeds are compared

  double spikes_per_run = kUnknown;   // loss_spikes(), mean over runs; unknown if it is unknown for a run
  double skipped_per_run = kUnknown;  // steps that train.skip_spikes skipped, mean over the runs that set it
  int64_t diverged = 0;               // number of runs that diverged (RunLog::has_diverged)

  // Medians over train rows. Each run's first 10 rows, or a fifth of its rows if that is fewer, are left out as
  // warm-up.
  double tokens_per_second = kUnknown;
  double mfu = kUnknown;
  // Median, over the steps that both arms logged, of this arm's tokens per second / the baseline's; unknown for the
  // baseline, and if there is a speed_obstacle.
  double throughput_ratio = kUnknown;
  SpeedObstacle speed_obstacle;

  // At the last eval, [MoE layer][rank]: an expert's share of the layer's assignments, multiplied by E (1 = balanced).
  // Experts of different seeds do not correspond, so each run's experts are ranked, busiest first, and each rank is
  // averaged over runs.
  std::vector<std::vector<double>> expert_load;
  // At the last eval, over all layers: the number of experts below kDeadShare of their fair share (mean over runs), and
  // the number of all experts.
  double dead_experts = kUnknown;
  int64_t experts = 0;

  int64_t tokens() const { return curve.empty() ? 0 : curve.back().tokens; }
  // Unknown if a run diverged: a mean over the others would flatter the arm.
  Statistics final_perplexity() const { return curve.empty() || diverged > 0 ? Statistics{} : curve.back().perplexity; }
};

// Where the arm's mean curve reaches the target; nullopt if it does not, or if a run diverged.
std::optional<Crossing> reaches(const ArmResult& arm, double target_perplexity);

struct Comparison {
  std::vector<ArmResult> arms;  // the first is the baseline
  // The last token count that every arm reached, apart from arms without evals and arms with a diverged run; 0 if no
  // arm is left.
  int64_t matched_tokens = 0;
  // The baseline's final mean perplexity: the target of "tokens to target" (Panda et al. 2025, their headline measure).
  // Unknown if a run of the baseline diverged.
  double target_perplexity = kUnknown;
  // Drawn beside the gaps if present. The caller sets it after compare().
  std::optional<Reference> reference;
  // Limitations that a reader must know: unfinished runs, single seeds, unequal budgets or data.
  std::vector<std::string> notes;

  bool single() const { return arms.size() == 1; }
};

// The mean distance of the arm's gap from the reference's at equal fractions of training, over the fractions that both
// cover; unknown without a reference or a gap.
double distance_from_reference(const Comparison& comparison, const ArmResult& arm);

// Compares the arms. There must be at least one, each with at least one run. A single arm gives a report without
// comparisons.
Comparison compare(std::vector<Arm> arms);

}  // namespace gptmoe
