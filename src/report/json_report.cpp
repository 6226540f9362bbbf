#include "report/json_report.h"

#include <cmath>

#include "base/json.h"
#include "records/record_json.h"
#include "report/config_diff.h"
#include "report/number_text.h"
#include "report/task_curves.h"
#include "report/validation_sets.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no NaN: the library writes null for it.
Json spread_json(const Statistics& spread) {
  return {
      {"mean", spread.mean}, {"std", spread.std}, {"min", spread.min}, {"max", spread.max}, {"count", spread.count}};
}

Json gap_json(const PairedGap& gap) {
  Json seeds = Json::array();
  for (const SeedGap& seed : gap.by_seed) seeds.push_back({{"seed", seed.seed}, {"gap", seed.gap}});
  const std::string verdict = verdict_text(gap);
  return {{"mean", gap.mean},
          {"low", gap.low},
          {"high", gap.high},
          {"verdict", verdict.empty() ? Json() : Json(verdict)},
          {"by_seed", seeds}};
}

Json gaps_json(const std::vector<GapPoint>& gaps) {
  Json points = Json::array();
  for (const GapPoint& point : gaps)
    points.push_back({{"tokens", point.tokens}, {"step", point.step}, {"gap", gap_json(point.gap)}});
  return points;
}

Json crossing_json(const std::optional<Crossing>& crossing) {
  if (!crossing) return nullptr;
  return {{"tokens", crossing->tokens}, {"seconds", crossing->seconds}};
}

Json provenance_json(const RunLog& run) {
  Json history = Json::array();
  for (const Provenance& entry : run.provenance)
    history.push_back({{"from_step", entry.from_step},
                       {"build", entry.build},
                       {"machine", entry.machine},
                       {"threads", entry.threads},
                       {"ranks", entry.ranks}});
  return history;
}

// Changes during the run: [{"from_step", "branched_from", "changes": {KEY: {"was", "is"}}}].
Json changes_json(const RunLog& run) {
  Json changes = Json::array();
  for (const HistoryEntry& entry : run.history)
    if (entry.branched_from || !entry.changes.empty())
      changes.push_back({{"from_step", entry.from_step},
                         {"branched_from", entry.branched_from ? Json(*entry.branched_from) : Json()},
                         {"changes", record_json(entry.changes)}});
  return changes;
}

Json runs_json(const ArmResult& result) {
  Json runs = Json::array();
  for (size_t i = 0; i < result.arm.runs.size(); ++i) {
    const RunLog& run = result.arm.runs[i];
    runs.push_back({{"dir", run.dir.string()},
                    {"step", run.last_step()},
                    {"planned_steps", run.planned_steps},
                    {"finished", run.finished()},
                    {"diverged", run.has_diverged()},
                    {"provenance", provenance_json(run)},
                    {"changes", changes_json(run)},
                    {"perplexity", run.evals.empty() ? kUnknown : std::exp(run.evals.back().val_loss)},
                    {"target", crossing_json(result.run_targets[i])}});
  }
  return runs;
}

Json curve_json(const ArmResult& result) {
  Json curve = Json::array();
  for (const CurvePoint& point : result.curve)
    curve.push_back({{"tokens", point.tokens},
                     {"seconds", point.seconds},
                     {"perplexity", spread_json(point.perplexity)},
                     {"perplexity_ema", point.perplexity_ema},
                     {"router_entropy", point.router_entropy}});
  return curve;
}

Json reference_json(const std::optional<Reference>& reference) {
  if (!reference) return nullptr;
  Json points = Json::array();
  for (const ReferencePoint& point : reference->points)
    points.push_back({{"step", point.step}, {"share", point.share}, {"gap", point.gap}});
  return {{"name", reference->name}, {"by", reference->by}, {"source", reference->source}, {"points", points}};
}

Json arm_json(const ArmResult& result) {
  Json target = crossing_json(result.target);
  if (result.target) {
    target["tokens_change"] = result.target_tokens_change;
    target["seconds_change"] = result.target_seconds_change;
  }
  Json dead = nullptr;
  if (result.experts > 0) dead = {{"mean", result.dead_experts}, {"of", result.experts}};
  return {{"label", result.arm.label},
          {"runs", runs_json(result)},
          {"final_perplexity", spread_json(result.final_perplexity())},
          {"matched_perplexity", spread_json(result.matched)},
          {"matched_gap", gap_json(result.matched_gap)},
          {"target", target},
          {"tokens_per_second", result.tokens_per_second},
          {"throughput_ratio", result.throughput_ratio},
          {"speed_obstacle", result.speed_obstacle.sentence.empty() ? Json() : Json(result.speed_obstacle.sentence)},
          {"mfu", result.mfu},
          {"spikes_per_run", result.spikes_per_run},
          {"skipped_per_run", result.skipped_per_run},
          {"diverged", result.diverged},
          {"expert_load", result.expert_load},
          {"dead_experts", dead},
          {"curve", curve_json(result)},
          {"gap", gaps_json(result.gap)},
          {"gap_by_steps", gaps_json(result.gap_by_steps)}};
}

// Each validation set's name, with the arms' results on it.
Json sets_json(const Comparison& comparison) {
  Json sets = Json::array();
  for (const SetComparison& set : compare_by_set(comparison)) {
    Json arms = Json::array();
    for (const ArmResult& result : set.comparison.arms)
      arms.push_back({{"label", result.arm.label},
                      {"final_perplexity", spread_json(result.final_perplexity())},
                      {"matched_gap", gap_json(result.matched_gap)},
                      {"target", crossing_json(result.target)},
                      {"curve", curve_json(result)}});
    sets.push_back({{"name", set.name}, {"arms", arms}});
  }
  return sets;
}

// Each task's name and chance, with the arms' accuracies.
Json tasks_json(const Comparison& comparison) {
  Json tasks = Json::array();
  for (const TaskCurve& task : task_curves(comparison)) {
    Json arms = Json::array();
    for (size_t arm = 0; arm < comparison.arms.size(); ++arm) {
      Json curve = Json::array();
      for (const TaskPoint& point : task.by_arm[arm])
        curve.push_back({{"tokens", point.tokens}, {"step", point.step}, {"acc", spread_json(point.acc)}});
      arms.push_back({{"label", comparison.arms[arm].arm.label}, {"curve", curve}});
    }
    tasks.push_back({{"name", task.name}, {"chance", task.chance ? Json(*task.chance) : Json()}, {"arms", arms}});
  }
  return tasks;
}

Json pair_json(const std::optional<SettingPair>& pair) {
  if (!pair) return nullptr;
  return {{"gap", gap_json(pair->gap)},
          {"tokens", pair->target ? pair->target->tokens : kUnknown},
          {"tokens_change", pair->target_tokens_change}};
}

Json sweep_json(const Sweep& sweep) {
  Json points = Json::array();
  for (const SweepFamily& family : sweep.families)
    for (const size_t point : family.points) {
      const ArmResult& result = sweep.result(point);
      Json settings = Json::object();
      for (const Setting& setting : result.arm.settings) settings[setting.path] = setting.value;
      points.push_back({{"config", family.label},
                        {"settings", settings},
                        {"best", point == family.best},
                        {"target", crossing_json(reaches(result, sweep.target_perplexity))},
                        {"against_first", pair_json(against_first(sweep, point))},
                        {"arm", arm_json(result)}});
    }
  return {{"target_perplexity", sweep.target_perplexity}, {"points", points}};
}

}  // namespace

Json json_report(const Comparison& comparison, const Sweep* sweep) {
  Json config = Json::object();
  for (const ConfigRow& row : diff_configs(comparison).different) config[row.path] = row.values;
  Json arms = Json::array();
  for (const ArmResult& result : comparison.arms) {
    arms.push_back(arm_json(result));
    arms.back()["reference_distance"] = distance_from_reference(comparison, result);
  }
  Json report = {{"headline", headline(comparison)},
                 {"notes", comparison.notes},
                 {"matched_tokens", comparison.matched_tokens},
                 {"target_perplexity", comparison.target_perplexity},
                 {"config", config},
                 {"reference", reference_json(comparison.reference)},
                 {"arms", arms}};
  if (Json sets = sets_json(comparison); !sets.empty()) report["validation_sets"] = std::move(sets);
  if (Json tasks = tasks_json(comparison); !tasks.empty()) report["tasks"] = std::move(tasks);
  if (sweep) report["sweep"] = sweep_json(*sweep);
  return report;
}

}  // namespace gptmoe
