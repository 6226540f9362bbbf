#include "report/comparison.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "base/check.h"
#include "report/collapse.h"
#include "report/notes.h"
#include "report/speeds.h"

namespace gptmoe {
namespace {

std::vector<const RunLog*> evaluated_runs(const Arm& arm) {
  std::vector<const RunLog*> runs;
  for (const RunLog& run : arm.runs)
    if (!run.evals.empty()) runs.push_back(&run);
  return runs;
}

Statistics perplexity_of(const Arm& arm, int64_t tokens) {
  std::vector<double> values;
  for (const RunLog* run : evaluated_runs(arm)) values.push_back(perplexity_at(*run, tokens));
  return statistics_of(values);
}

CurvePoint point_of(const std::vector<const RunLog*>& runs, int64_t tokens) {
  CurvePoint point;
  point.tokens = tokens;
  std::vector<double> perplexities, of_averages;
  const double share = 1.0 / static_cast<double>(runs.size());
  size_t layers = runs[0]->evals[0].router_entropy.size();
  for (const RunLog* run : runs) layers = std::min(layers, run->evals[0].router_entropy.size());
  point.router_entropy.assign(layers, 0);
  for (const RunLog* run : runs) {
    perplexities.push_back(perplexity_at(*run, tokens));
    of_averages.push_back(std::exp(interpolate(
        run->evals, &EvalRow::tokens, tokens, [](const EvalRow& row) { return row.val_loss_ema.value_or(kUnknown); })));
    const auto mean_of = [&](auto field) { return share * interpolate(run->evals, &EvalRow::tokens, tokens, field); };
    point.step += mean_of([](const EvalRow& row) { return static_cast<double>(row.step); });
    point.seconds += mean_of([](const EvalRow& row) { return row.seconds; });
    for (size_t l = 0; l < layers; ++l)
      point.router_entropy[l] += share * interpolate(run->evals, &EvalRow::tokens, tokens,
                                                     [l](const EvalRow& row) { return row.router_entropy[l]; });
  }
  point.perplexity = statistics_of(perplexities);
  point.perplexity_ema = statistics_of(of_averages).mean;
  return point;
}

std::vector<CurvePoint> curve_of(const std::vector<const RunLog*>& runs) {
  std::vector<CurvePoint> curve;
  if (runs.empty()) return curve;
  std::set<int64_t> grid;
  int64_t first = 0, last = std::numeric_limits<int64_t>::max();
  for (const RunLog* run : runs) {
    first = std::max(first, run->evals.front().tokens);
    last = std::min(last, run->evals.back().tokens);
    for (const EvalRow& row : run->evals) grid.insert(row.tokens);
  }
  for (int64_t tokens : grid)
    if (tokens >= first && tokens <= last) curve.push_back(point_of(runs, tokens));
  return curve;
}

void measure_stability(ArmResult& result) {
  double spikes = 0;
  for (const RunLog& run : result.arm.runs) {
    const std::optional<int64_t> of_run = run.thinned ? run.thinned->loss_spikes : loss_spikes(run.train);
    spikes += of_run ? static_cast<double>(*of_run) : kUnknown;
    result.diverged += run.has_diverged();
  }
  result.spikes_per_run = spikes / static_cast<double>(result.arm.runs.size());
  std::vector<double> skipped;
  for (const RunLog& run : result.arm.runs)
    if (!run.train.empty() && run.train.back().skipped_steps)
      skipped.push_back(static_cast<double>(*run.train.back().skipped_steps));
  result.skipped_per_run = statistics_of(skipped).mean;
}

std::vector<std::vector<double>> final_load(const Arm& arm) {
  const std::vector<const RunLog*> runs = evaluated_runs(arm);
  std::vector<std::vector<double>> mean;
  for (const RunLog* run : runs) {
    std::vector<std::vector<double>> load = run->evals.back().expert_load;
    if (mean.empty())
      for (const auto& layer : load) mean.emplace_back(layer.size(), 0.0);
    if (load.size() != mean.size()) return {};
    for (size_t l = 0; l < load.size(); ++l) {
      if (load[l].size() != mean[l].size()) return {};
      load[l] = relative_load(load[l]);
      std::sort(load[l].begin(), load[l].end(), std::greater<>());
      for (size_t e = 0; e < load[l].size(); ++e) mean[l][e] += load[l][e] / static_cast<double>(runs.size());
    }
  }
  return mean;
}

void measure_dead(ArmResult& result) {
  std::vector<double> dead;
  for (const RunLog* run : evaluated_runs(result.arm)) {
    int64_t experts = 0, of_run = 0;
    for (const std::vector<double>& load : run->evals.back().expert_load) {
      experts += std::ssize(load);
      of_run += dead_experts(load);
    }
    if (!dead.empty() && experts != result.experts) return;
    result.experts = experts;
    dead.push_back(static_cast<double>(of_run));
  }
  if (result.experts > 0) result.dead_experts = statistics_of(dead).mean;
}

std::vector<GapPoint> gap_curve(const std::vector<SeedPair>& pairs, EvalAxis axis) {
  std::set<int64_t> grid;
  int64_t first = 0, last = std::numeric_limits<int64_t>::max();
  for (const SeedPair& pair : pairs)
    for (const RunLog* run : {pair.run, pair.baseline}) {
      first = std::max(first, run->evals.front().*axis);
      last = std::min(last, run->evals.back().*axis);
      for (const EvalRow& row : run->evals) grid.insert(row.*axis);
    }
  std::vector<GapPoint> gaps;
  for (const int64_t at : grid) {
    if (at < first || at > last) continue;
    const auto of_the_arm = [&](auto wanted) {
      return interpolate(pairs[0].run->evals, axis, at,
                         [wanted](const EvalRow& row) { return static_cast<double>(row.*wanted); });
    };
    gaps.push_back({std::llround(of_the_arm(&EvalRow::tokens)), std::llround(of_the_arm(&EvalRow::step)),
                    of_the_arm(&EvalRow::seconds), gap_at(pairs, axis, at)});
  }
  return gaps;
}

bool steps_hold_equal_tokens(const RunLog& a, const RunLog& b) {
  return a.evals.back().tokens * b.evals.back().step == b.evals.back().tokens * a.evals.back().step;
}

void measure_gap(ArmResult& result, const ArmResult& baseline, int64_t matched_tokens) {
  if (result.diverged > 0 || baseline.diverged > 0) return;
  const std::vector<SeedPair> pairs = pairs_of(result.arm.runs, baseline.arm.runs);
  if (pairs.empty()) return;
  result.gap = gap_curve(pairs, &EvalRow::tokens);
  if (!steps_hold_equal_tokens(*pairs[0].run, *pairs[0].baseline))
    result.gap_by_steps = gap_curve(pairs, &EvalRow::step);
  if (result.matched.count > 0 && baseline.matched.count > 0)
    result.matched_gap = gap_at(pairs, &EvalRow::tokens, matched_tokens);
}

void measure_target(ArmResult& result, double target) {
  result.target = reaches(result, target);
  for (const RunLog& run : result.arm.runs)
    result.run_targets.push_back(run.evals.empty() || run.has_diverged() ? std::nullopt
                                                                         : reaches(curve_of({&run}), target));
}

void compare_to_baseline(ArmResult& result, const ArmResult& baseline) {
  result.speed_obstacle = speed_obstacle(result.arm, baseline.arm);
  const bool comparable = result.speed_obstacle.brief.empty();
  if (comparable) result.throughput_ratio = speed_ratio(result.arm, baseline.arm);
  if (result.target && baseline.target) {
    result.target_tokens_change = tokens_change(*result.target, *baseline.target);
    if (comparable && std::isfinite(result.target_tokens_change))
      result.target_seconds_change = result.target->seconds / baseline.target->seconds - 1;
  }
}

// The last token count that every arm reached. It may be 0: a run that starts from given weights is evaluated before
// its first step.
int64_t last_common_tokens(const std::vector<ArmResult>& arms) {
  std::optional<int64_t> last;
  for (const ArmResult& result : arms)
    if (!result.curve.empty() && result.diverged == 0) last = std::min(last.value_or(result.tokens()), result.tokens());
  return last.value_or(0);
}

}  // namespace

std::optional<int64_t> loss_spikes(const std::vector<TrainRow>& rows) {
  constexpr size_t kWindow = 100;
  constexpr double kDeviations = 6;
  if (rows.size() <= kWindow) return std::nullopt;
  int64_t spikes = 0;
  bool within = false;
  for (size_t i = kWindow; i < rows.size(); ++i) {
    std::vector<double> before;
    for (size_t j = i - kWindow; j < i; ++j)
      if (std::isfinite(rows[j].loss)) before.push_back(rows[j].loss);
    const Statistics usual = statistics_of(before);
    const bool above = !(rows[i].loss <= usual.mean + kDeviations * usual.std);
    if (above && !within) ++spikes;
    within = above;
  }
  return spikes;
}

std::optional<Crossing> reaches(const ArmResult& arm, double target_perplexity) {
  return arm.diverged > 0 ? std::nullopt : reaches(arm.curve, target_perplexity);
}

std::optional<Crossing> reaches(const std::vector<CurvePoint>& curve, double target_perplexity) {
  if (!std::isfinite(target_perplexity)) return std::nullopt;
  // This form makes NaN count as above the target.
  const auto below = [&](const CurvePoint& point) { return point.perplexity.mean <= target_perplexity; };
  size_t next = curve.size();
  while (next > 0 && below(curve[next - 1])) --next;
  if (next == curve.size()) return std::nullopt;
  const CurvePoint& after = curve[next];
  if (next == 0) return Crossing{static_cast<double>(after.tokens), after.seconds};
  const CurvePoint& before = curve[next - 1];
  const double high = std::log(before.perplexity.mean), low = std::log(after.perplexity.mean);
  const double fraction = std::isfinite(high) ? (high - std::log(target_perplexity)) / (high - low) : 1.0;
  return Crossing{static_cast<double>(before.tokens) + fraction * static_cast<double>(after.tokens - before.tokens),
                  before.seconds + fraction * (after.seconds - before.seconds)};
}

double tokens_change(const Crossing& ours, const Crossing& theirs) {
  return ours.tokens > 0 && theirs.tokens > 0 ? ours.tokens / theirs.tokens - 1 : kUnknown;
}

double distance_from_reference(const Comparison& comparison, const ArmResult& arm) {
  if (!comparison.reference) return kUnknown;
  std::vector<GapAt> ours, theirs;
  const auto planned = static_cast<double>(arm.arm.runs[0].planned_steps);
  for (const GapPoint& point : arm.gap)
    if (std::isfinite(point.gap.mean)) ours.push_back({static_cast<double>(point.step) / planned, point.gap.mean});
  for (const ReferencePoint& point : comparison.reference->points) theirs.push_back({point.share, point.gap});
  return mean_distance(ours, theirs);
}

Comparison compare(std::vector<Arm> arms) {
  GPTMOE_CHECK(!arms.empty(), "a comparison without arms");
  Comparison comparison;
  for (Arm& arm : arms) {
    GPTMOE_CHECK(!arm.runs.empty(), "arm without runs: ", arm.label);
    ArmResult result;
    result.arm = std::move(arm);
    result.curve = curve_of(evaluated_runs(result.arm));
    result.expert_load = final_load(result.arm);
    measure_dead(result);
    measure_speed(result);
    measure_stability(result);
    comparison.arms.push_back(std::move(result));
  }
  comparison.matched_tokens = last_common_tokens(comparison.arms);
  ArmResult& baseline = comparison.arms[0];
  comparison.target_perplexity = baseline.final_perplexity().mean;
  for (ArmResult& result : comparison.arms) {
    if (!result.curve.empty() && result.diverged == 0 && comparison.matched_tokens >= result.curve.front().tokens)
      result.matched = perplexity_of(result.arm, comparison.matched_tokens);
    measure_target(result, comparison.target_perplexity);
    if (&result == &baseline) continue;
    measure_gap(result, baseline, comparison.matched_tokens);
    compare_to_baseline(result, baseline);
  }
  comparison.notes = notes_on(comparison);
  return comparison;
}

}  // namespace gptmoe
