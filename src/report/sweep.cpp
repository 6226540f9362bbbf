#include "report/sweep.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/check.h"
#include "base/columns.h"
#include "base/key_error.h"
#include "base/printable.h"
#include "report/number_text.h"

namespace gptmoe {
namespace {

constexpr const char* kNone = "—";

// Whether all runs finished, so that a point's final perplexity counts.
bool came_to_its_end(const ArmResult& result) {
  return std::isfinite(result.final_perplexity().mean) &&
         std::all_of(result.arm.runs.begin(), result.arm.runs.end(), [](const RunLog& run) { return run.finished(); });
}

std::vector<SweepFamily> families_of(const Comparison& all) {
  std::vector<SweepFamily> families;
  for (size_t i = 0; i < all.arms.size(); ++i) {
    const std::string& label = all.arms[i].arm.family;
    auto family = std::find_if(families.begin(), families.end(), [&](const auto& f) { return f.label == label; });
    if (family == families.end()) family = families.insert(families.end(), {label, {}, {}});
    family->points.push_back(i);
    if (!came_to_its_end(all.arms[i])) continue;
    const auto perplexity = [&](size_t arm) { return all.arms[arm].final_perplexity().mean; };
    if (!family->best || perplexity(i) < perplexity(*family->best)) family->best = i;
  }
  return families;
}

std::string perplexity_cell(const ArmResult& result) {
  if (result.diverged > 0) return divergence_text(result);
  if (result.curve.empty()) return "not yet";
  const auto unfinished = [](const RunLog& run) { return !run.finished(); };
  const bool on_the_way = std::any_of(result.arm.runs.begin(), result.arm.runs.end(), unfinished);
  return spread_text(result.final_perplexity()) +
         (on_the_way ? text(" at ", tokens_text(static_cast<double>(result.tokens()))) : "");
}

void add_pair(SweepRow& row, const std::optional<SettingPair>& pair) {
  if (!pair) {
    row.cells.insert(row.cells.end(), 2, kNone);
    return;
  }
  row.cells.push_back(gap_text(pair->gap));
  std::string target = pair->target ? tokens_text(pair->target->tokens) : "not reached";
  if (std::isfinite(pair->target_tokens_change)) target += " (" + percent_text(pair->target_tokens_change) + ")";
  row.cells.push_back(std::move(target));
}

// The values of one setting in all points of a family, without those that are not numbers.
std::vector<double> numbers_tried(const Sweep& sweep, const SweepFamily& family, const std::string& path) {
  std::vector<double> numbers;
  for (const size_t point : family.points)
    for (const Setting& setting : sweep.result(point).arm.settings)
      if (const std::optional<double> number = number_in(setting); number && setting.path == path)
        numbers.push_back(*number);
  return numbers;
}

}  // namespace

std::optional<double> number_in(const Setting& setting) {
  char* end = nullptr;
  const double value = std::strtod(setting.value.c_str(), &end);
  if (end == setting.value.c_str() || *end != 0 || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::vector<std::string> edge_notes(const Sweep& sweep) {
  std::vector<std::string> notes;
  for (const SweepFamily& family : sweep.families) {
    if (!family.best) continue;
    for (const Setting& setting : sweep.result(*family.best).arm.settings) {
      const std::optional<double> best = number_in(setting);
      if (!best) continue;
      const std::vector<double> tried = numbers_tried(sweep, family, setting.path);
      const auto [smallest, largest] = std::minmax_element(tried.begin(), tried.end());
      if (*smallest == *largest || (*best != *smallest && *best != *largest)) continue;
      notes.push_back(text(family.label, ": the best ", last_name(setting.path), ", ", setting.value, ", is the ",
                           *best == *largest ? "largest" : "smallest", " tried; a better one may be beyond it."));
    }
  }
  return notes;
}

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
  for (const SweepFamily& family : sweep.families) {
    if (!family.best) continue;
    sweep.target_perplexity = sweep.result(*family.best).final_perplexity().mean;
    break;
  }
  return sweep;
}

std::optional<SettingPair> against_first(const Sweep& sweep, size_t arm) {
  const ArmResult& ours = sweep.result(arm);
  if (ours.arm.family == sweep.families[0].label || !came_to_its_end(ours)) return std::nullopt;
  const std::vector<Setting>& settings = ours.arm.settings;
  for (const size_t point : sweep.families[0].points) {
    const ArmResult& other = sweep.result(point);
    const auto shared = [&](const Setting& setting) {
      return std::find(settings.begin(), settings.end(), setting) != settings.end();
    };
    if (!std::all_of(other.arm.settings.begin(), other.arm.settings.end(), shared)) continue;
    if (!came_to_its_end(other) || other.tokens() != ours.tokens()) return std::nullopt;
    const double perplexity = other.final_perplexity().mean;
    SettingPair pair{gap_at(pairs_of(ours.arm.runs, other.arm.runs), &EvalRow::tokens, ours.tokens()),
                     reaches(ours, perplexity)};
    if (pair.target) pair.target_tokens_change = tokens_change(*pair.target, *reaches(other, perplexity));
    return pair;
  }
  return std::nullopt;
}

Comparison compare_best(const Sweep& sweep) {
  std::vector<Arm> arms;
  std::string chosen, left_out;
  for (const SweepFamily& family : sweep.families) {
    if (!family.best) {
      left_out += (left_out.empty() ? "" : ", ") + family.label;
      continue;
    }
    arms.push_back(sweep.result(*family.best).arm);
    arms.back().label = family.label;
    if (family.points.size() > 1)
      chosen += text(chosen.empty() ? "" : "; ", family.label, " at ", sweep.point_name(*family.best));
  }
  const bool none = arms.empty();
  if (none)
    for (const SweepFamily& family : sweep.families) arms.push_back(sweep.result(family.points[0]).arm);
  Comparison comparison = compare(std::move(arms));
  if (none)
    comparison.notes.push_back(
        "No point of the sweep finished with a finite perplexity: each config is shown at its first point.");
  else if (!left_out.empty())
    comparison.notes.push_back(
        text("Left out: ", left_out, ", because no point of the sweep finished with a finite perplexity."));
  if (!chosen.empty())
    comparison.notes.push_back(text("Best of the sweep: ", chosen, ", chosen by the reported validation perplexity."));
  for (std::string& note : edge_notes(sweep)) comparison.notes.push_back(std::move(note));
  return comparison;
}

std::vector<SweepRow> sweep_rows(const Sweep& sweep) {
  const std::vector<ArmResult>& arms = sweep.all.arms;
  bool pairs = false;
  for (size_t arm = 0; arm < arms.size(); ++arm) pairs = pairs || against_first(sweep, arm);
  const bool routed = std::any_of(arms.begin(), arms.end(), [](const ArmResult& arm) { return arm.experts > 0; });

  const bool aimed = std::isfinite(sweep.target_perplexity);
  std::vector<SweepRow> rows = {{{"config", "setting", "seeds", "final perplexity",
                                  aimed ? "tokens to " + perplexity_text(sweep.target_perplexity) : "tokens to best"},
                                 false}};
  if (pairs) rows[0].cells.insert(rows[0].cells.end(), {"against " + sweep.families[0].label, "tokens to equal it"});
  for (const char* name : {"spikes a run", "diverged"}) rows[0].cells.push_back(name);
  if (routed) rows[0].cells.push_back("dead experts");
  for (const SweepFamily& family : sweep.families)
    for (const size_t point : family.points) {
      const ArmResult& result = sweep.result(point);
      const std::optional<Crossing> target = reaches(result, sweep.target_perplexity);
      SweepRow row{{family.label, sweep.point_name(point), text(result.arm.runs.size()), perplexity_cell(result),
                    target ? tokens_text(target->tokens) : kNone},
                   point == family.best};
      if (pairs) add_pair(row, against_first(sweep, point));
      row.cells.push_back(std::isfinite(result.spikes_per_run) ? fixed(result.spikes_per_run, 1) : kNone);
      row.cells.push_back(result.diverged ? text(result.diverged, " of ", result.arm.runs.size()) : kNone);
      if (routed) row.cells.push_back(result.experts ? dead_text(result) : kNone);
      rows.push_back(std::move(row));
    }
  return rows;
}

std::string sweep_text(const Sweep& sweep) {
  std::vector<SweepRow> rows = sweep_rows(sweep);
  for (SweepRow& row : rows)
    for (std::string& cell : row.cells) cell = printable(cell);
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
