#include "report/sweep.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "report/markup.h"
#include "report/words.h"

namespace gptmoe {
namespace {

std::string last_name(const std::string& path) { return path.substr(path.rfind('.') + 1); }

// Points that cannot be the best come last, whatever they measured.
double rank_of(const ArmResult& result) {
  for (const RunLog& run : result.arm.runs)
    if (run.diverged || !run.finished()) return HUGE_VAL;
  const double perplexity = result.final_perplexity().mean;
  return std::isfinite(perplexity) ? perplexity : HUGE_VAL;
}

std::vector<SweepFamily> families_of(const Comparison& all) {
  std::vector<SweepFamily> families;
  for (size_t i = 0; i < all.arms.size(); ++i) {
    const std::string& label = all.arms[i].arm.family;
    auto family = std::find_if(families.begin(), families.end(), [&](const auto& f) { return f.label == label; });
    if (family == families.end()) family = families.insert(families.end(), {label, {}, i});
    family->points.push_back(i);
    if (rank_of(all.arms[i]) < rank_of(all.arms[family->best])) family->best = i;
  }
  return families;
}

std::string perplexity_cell(const ArmResult& result) {
  if (result.diverged > 0) return "diverged";
  if (result.curve.empty()) return "not yet";
  const auto unfinished = [](const RunLog& run) { return !run.finished(); };
  const bool on_the_way = std::any_of(result.arm.runs.begin(), result.arm.runs.end(), unfinished);
  return spread_text(result.final_perplexity()) +
         (on_the_way ? text(" at ", tokens_text(static_cast<double>(result.tokens()))) : "");
}

}  // namespace

std::string settings_text(const std::vector<Setting>& settings, const std::string& separator) {
  std::string out;
  for (const Setting& setting : settings) {
    const auto same_name = [&](const Setting& other) { return last_name(other.path) == last_name(setting.path); };
    const bool unique = std::count_if(settings.begin(), settings.end(), same_name) == 1;
    out += text(out.empty() ? "" : separator, unique ? last_name(setting.path) : setting.path, "=", setting.value);
  }
  return out;
}

std::string Sweep::point_name(size_t arm) const {
  const std::string settings = settings_text(all.arms[arm].arm.settings);
  return settings.empty() ? "as configured" : settings;
}

Sweep sweep_of(std::vector<Arm> arms) {
  GPTMOE_CHECK(!arms.empty(), "a sweep without points");
  Sweep sweep;
  sweep.all = compare(std::move(arms));
  sweep.families = families_of(sweep.all);
  sweep.target_perplexity = sweep.all.arms[sweep.families.front().best].final_perplexity().mean;
  return sweep;
}

Comparison compare_best(const Sweep& sweep) {
  std::vector<Arm> arms;
  std::string chosen;
  for (const SweepFamily& family : sweep.families) {
    arms.push_back(sweep.result(family.best).arm);
    arms.back().label = family.label;
    if (family.points.size() > 1)
      chosen += text(chosen.empty() ? "" : "; ", family.label, " at ", sweep.point_name(family.best));
  }
  Comparison comparison = compare(std::move(arms));
  if (!chosen.empty())
    comparison.notes.push_back(
        text("Best of the sweep: ", chosen, ", chosen by the validation perplexity that is reported."));
  return comparison;
}

std::vector<SweepRow> sweep_rows(const Sweep& sweep) {
  const std::string target = perplexity_text(sweep.target_perplexity);
  std::vector<SweepRow> rows = {
      {{"config", "setting", "seeds", "final perplexity", "tokens to " + target, "spikes a run", "diverged"}, false}};
  for (const SweepFamily& family : sweep.families)
    for (const size_t point : family.points) {
      const ArmResult& result = sweep.all.arms[point];
      const std::optional<Crossing> target = reaches(result.curve, sweep.target_perplexity);
      rows.push_back({{family.label, sweep.point_name(point), text(result.arm.runs.size()), perplexity_cell(result),
                       target ? tokens_text(target->tokens) : "—",
                       std::isfinite(result.spikes_per_run) ? fixed(result.spikes_per_run, 1) : "—",
                       result.diverged ? text(result.diverged, " of ", result.arm.runs.size()) : "—"},
                      point == family.best});
    }
  return rows;
}

std::string sweep_text(const Sweep& sweep) {
  const std::vector<SweepRow> rows = sweep_rows(sweep);
  std::vector<size_t> widths(rows[0].cells.size());
  for (const SweepRow& row : rows)
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], columns_of(row.cells[i]));
  std::string out;
  for (const SweepRow& row : rows) {
    std::string line;
    for (size_t i = 0; i < widths.size(); ++i) {
      const std::string space(widths[i] - columns_of(row.cells[i]), ' ');
      line += (i == 0 ? "" : "  ") + (i < 2 ? row.cells[i] + space : space + row.cells[i]);
    }
    out += line + (row.best ? "  best" : "") + "\n";
  }
  return out;
}

}  // namespace gptmoe
