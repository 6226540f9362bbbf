#include "report/table.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/check.h"
#include "base/columns.h"
#include "base/printable.h"
#include "report/number_text.h"
#include "report/task_curves.h"
#include "report/validation_sets.h"

namespace gptmoe {
namespace {

constexpr size_t kColumns = 100;
// The longest row name ("perplexity at 1.23 M tokens") and this many cells fit in kColumns.
constexpr size_t kArmsPerBlock = 3;
constexpr size_t kWidestCell = 22;

using CellText = std::function<std::string(const ArmResult&)>;  // empty: this arm has no such number

void add_row(std::vector<SummaryRow>& rows, const Comparison& comparison, const std::string& name,
             const CellText& cell) {
  SummaryRow row{name, {}};
  for (const ArmResult& result : comparison.arms) row.cells.push_back(cell(result));
  if (std::all_of(row.cells.begin(), row.cells.end(), [](const std::string& text) { return text.empty(); })) return;
  for (std::string& text : row.cells)
    if (text.empty()) text = "—";
  rows.push_back(std::move(row));
}

std::string where_known(double value, const std::function<std::string(double)>& words) {
  return std::isfinite(value) ? words(value) : "";
}

std::string with_change(const std::string& value, double change) {
  return std::isfinite(change) ? text(value, " (", percent_text(change), ")") : value;
}

std::string reached(const ArmResult& result, const std::function<std::string(const Crossing&)>& words) {
  if (result.curve.empty() || result.diverged > 0) return "";
  return result.target ? words(*result.target) : "not reached";
}

void add_gap_rows(std::vector<SummaryRow>& rows, const Comparison& comparison) {
  const ArmResult* baseline = &comparison.arms[0];
  const auto of_others = [&](const CellText& cell) {
    return [=](const ArmResult& r) { return &r == baseline ? std::string() : cell(r); };
  };
  const bool known = std::any_of(comparison.arms.begin(), comparison.arms.end(),
                                 [](const ArmResult& r) { return std::isfinite(r.matched_gap.mean); });
  add_row(rows, comparison, "perplexity against baseline", [&](const ArmResult& r) {
    return &r == baseline && known ? std::string("baseline") : where_known(r.matched_gap.mean, percent_text);
  });
  add_row(rows, comparison, "95 % interval",
          of_others([](const ArmResult& r) { return interval_text(r.matched_gap); }));
  add_row(rows, comparison, "verdict", of_others([](const ArmResult& r) { return verdict_text(r.matched_gap); }));
  add_row(rows, comparison, "pairs of equal seed",
          of_others([&](const ArmResult& r) { return known ? text(r.matched_gap.by_seed.size()) : std::string(); }));
  add_row(rows, comparison, "perplexity at equal steps", of_others([](const ArmResult& r) {
            return r.gap_by_steps.empty() ? std::string() : where_known(r.gap_by_steps.back().gap.mean, percent_text);
          }));
}

// Adds the speeds relative to the baseline. If speeds are not compared, the cell gives the reason.
void add_throughput_row(std::vector<SummaryRow>& rows, const Comparison& comparison) {
  const auto cell = [](const ArmResult& r) {
    return r.speed_obstacle.brief.empty() ? where_known(r.throughput_ratio, ratio_text)
                                          : "— (" + r.speed_obstacle.brief + ")";
  };
  const ArmResult* baseline = &comparison.arms[0];
  const bool known =
      std::any_of(comparison.arms.begin(), comparison.arms.end(), [&](const ArmResult& r) { return !cell(r).empty(); });
  add_row(rows, comparison, "throughput against baseline",
          [&](const ArmResult& r) { return &r == baseline && known ? std::string("baseline") : cell(r); });
}

void add_comparison_rows(std::vector<SummaryRow>& rows, const Comparison& comparison) {
  const ArmResult* baseline = &comparison.arms[0];
  const bool unequal = std::any_of(comparison.arms.begin(), comparison.arms.end(), [&](const ArmResult& r) {
    return r.matched.count && r.tokens() > comparison.matched_tokens;
  });
  if (unequal)
    add_row(rows, comparison,
            text("perplexity at ", tokens_text(static_cast<double>(comparison.matched_tokens)), " tokens"),
            [](const ArmResult& r) { return r.matched.count ? spread_text(r.matched) : ""; });
  add_gap_rows(rows, comparison);
  if (!baseline->target) return;
  const std::string target = perplexity_text(comparison.target_perplexity);
  add_row(rows, comparison, "tokens to perplexity " + target, [=](const ArmResult& r) {
    return reached(r, [&](const Crossing& c) {
      return with_change(tokens_text(c.tokens), &r == baseline ? kUnknown : r.target_tokens_change);
    });
  });
  add_row(rows, comparison, "time to perplexity " + target, [=](const ArmResult& r) {
    return reached(r, [&](const Crossing& c) {
      return with_change(seconds_text(c.seconds), &r == baseline ? kUnknown : r.target_seconds_change);
    });
  });
  add_row(rows, comparison, "seeds reaching the target", [](const ArmResult& r) {
    const auto count =
        std::count_if(r.run_targets.begin(), r.run_targets.end(), [](const auto& t) { return t.has_value(); });
    return r.run_targets.size() < 2 ? std::string() : text(count, " of ", r.run_targets.size());
  });
}

double entropy_mean(const ArmResult& result) {
  if (result.curve.empty() || result.curve.back().router_entropy.empty()) return kUnknown;
  return statistics_of(result.curve.back().router_entropy).mean;
}

// The loads of the busiest and the idlest expert over all layers.
std::string load_extremes(const ArmResult& result) {
  if (result.expert_load.empty()) return "";
  double most = -HUGE_VAL, least = HUGE_VAL;
  for (const auto& layer : result.expert_load)
    for (double load : layer) {
      most = std::max(most, load);
      least = std::min(least, load);
    }
  return ratio_text(most) + " / " + ratio_text(least);
}

std::string padded(const std::string& text, size_t width, bool right) {
  const std::string space(width - std::min(width, columns_of(text)), ' ');
  return right ? space + text : text + space;
}

std::string block(const std::vector<SummaryRow>& rows, size_t first, size_t last) {
  size_t name_width = 0;
  for (const SummaryRow& row : rows) name_width = std::max(name_width, columns_of(row.name));
  std::vector<size_t> widths;
  for (size_t arm = first; arm < last; ++arm) {
    size_t width = 0;
    for (const SummaryRow& row : rows) width = std::max(width, columns_of(shortened(row.cells[arm], kWidestCell)));
    widths.push_back(width);
  }
  std::string out;
  for (const SummaryRow& row : rows) {
    out += padded(row.name, name_width, false);
    for (size_t arm = first; arm < last; ++arm)
      out += "  " + padded(shortened(row.cells[arm], kWidestCell), widths[arm - first], true);
    out += "\n";
  }
  return out;
}

// The rows in blocks of a few arms, each after an empty line.
std::string blocks(std::vector<SummaryRow> rows) {
  for (SummaryRow& row : rows)
    for (std::string& cell : row.cells) cell = printable(cell);
  const size_t arms = rows[0].cells.size();
  std::string out;
  for (size_t first = 0; first < arms; first += kArmsPerBlock)
    out += "\n" + block(rows, first, std::min(first + kArmsPerBlock, arms));
  return out;
}

// Breaks a sentence, made printable, into lines at spaces. A word that is longer than a line gets its own line.
std::string wrapped(const std::string& prefix, const std::string& raw) {
  const std::string sentence = printable(raw);
  std::string out, line = prefix;
  size_t start = 0;
  while (start < sentence.size()) {
    const size_t end = std::min(sentence.find(' ', start), sentence.size());
    const std::string word = sentence.substr(start, end - start);
    if (line != prefix && columns_of(line) + 1 + columns_of(word) > kColumns) {
      out += line + "\n";
      line = std::string(columns_of(prefix), ' ') + word;
    } else {
      line += (line == prefix ? "" : " ") + word;
    }
    start = end + 1;
  }
  return out + line + "\n";
}

}  // namespace

std::vector<SummaryRow> perplexity_rows(const Comparison& comparison) {
  std::vector<SummaryRow> rows;
  add_row(rows, comparison, "arm", [](const ArmResult& r) { return r.arm.label; });
  add_row(rows, comparison, "seeds", [](const ArmResult& r) { return text(r.arm.runs.size()); });
  add_row(rows, comparison, "tokens at last eval",
          [](const ArmResult& r) { return r.curve.empty() ? "" : tokens_text(static_cast<double>(r.tokens())); });
  add_row(rows, comparison, "final perplexity", [](const ArmResult& r) {
    return r.diverged > 0 ? divergence_text(r) : r.curve.empty() ? "" : spread_text(r.final_perplexity());
  });
  add_row(rows, comparison, "final, averaged weights", [](const ArmResult& r) {
    return r.curve.empty() || r.diverged > 0 ? "" : where_known(r.curve.back().perplexity_ema, perplexity_text);
  });
  if (!comparison.single()) add_comparison_rows(rows, comparison);
  return rows;
}

std::vector<SummaryRow> summary_rows(const Comparison& comparison) {
  std::vector<SummaryRow> rows = perplexity_rows(comparison);
  for (const TaskCurve& task : task_curves(comparison))
    add_row(rows, comparison, task.name + " accuracy",
            [&](const ArmResult& r) { return last_accuracy(task, static_cast<size_t>(&r - comparison.arms.data())); });
  add_row(rows, comparison, "tokens per second",
          [](const ArmResult& r) { return where_known(r.tokens_per_second, tokens_text); });
  if (!comparison.single()) add_throughput_row(rows, comparison);
  add_row(rows, comparison, "model FLOPs utilisation",
          [](const ArmResult& r) { return where_known(100 * r.mfu, [](double v) { return fixed(v, 1) + " %"; }); });
  add_row(rows, comparison, "busiest / idlest expert", load_extremes);
  add_row(rows, comparison, "dead experts", dead_text);
  add_row(rows, comparison, "loss spikes per run",
          [](const ArmResult& r) { return where_known(r.spikes_per_run, [](double v) { return fixed(v, 1); }); });
  add_row(rows, comparison, "skipped steps per run",
          [](const ArmResult& r) { return where_known(r.skipped_per_run, [](double v) { return fixed(v, 1); }); });
  add_row(rows, comparison, "runs that diverged", [](const ArmResult& r) {
    return r.diverged == 0 ? std::string() : text(r.diverged, " of ", r.arm.runs.size());
  });
  add_row(rows, comparison, "router entropy, nats",
          [](const ArmResult& r) { return where_known(entropy_mean(r), [](double v) { return fixed(v, 3); }); });
  return rows;
}

std::string text_report(const Comparison& comparison) {
  std::string out = wrapped("", headline(comparison));
  for (const std::string& sentence : sentences(comparison)) out += wrapped("", sentence);
  for (const std::string& note : comparison.notes) out += wrapped("  note: ", note);
  out += blocks(summary_rows(comparison));
  for (const SetComparison& set : compare_by_set(comparison))
    out += "\n" + printable("validation set " + set.name) + "\n" + blocks(perplexity_rows(set.comparison));
  return out;
}

}  // namespace gptmoe
