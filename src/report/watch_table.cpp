#include "report/watch_table.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/columns.h"
#include "base/progress.h"
#include "report/number_text.h"

namespace gptmoe {
namespace {

constexpr size_t kCurveColumns = 16;
constexpr size_t kWidestName = 48;
constexpr size_t kNameAndState = 2;  // columns after these are aligned to the right

using Cells = std::vector<std::string>;

std::string duration_text(double seconds) {
  const double whole = std::max(0.0, std::floor(seconds));
  if (whole < 60) return text(whole, " s");
  if (whole < 3600) return text(std::floor(whole / 60), " min");
  if (whole < 2 * 86400) return text(std::floor(whole / 3600), " h");
  return text(std::floor(whole / 86400), " days");
}

std::string where_known(double value, const std::string& words) { return std::isfinite(value) ? words : "—"; }

// Shortens a name at its beginning, since its end says more.
std::string name_text(const std::string& name) {
  std::string end = name;
  while (columns_of(end) > kWidestName - 1) end.erase(0, 1);
  return end == name ? name : "…" + end;
}

Cells cells_of(const NamedRun& named, double now) {
  const WatchedRun& run = *named.run;
  const bool trains = run.state() == RunState::training;
  const double left = trains ? run.seconds_left() : kUnknown, rate = trains ? run.tokens_per_second() : kUnknown;
  return {name_text(named.name),
          named.state.empty() ? state_text(run, now) : named.state,
          text(run.step(), "/", run.steps()),
          where_known(run.loss(), fixed(run.loss(), 4)),
          where_known(run.perplexity(), perplexity_text(run.perplexity())),
          where_known(rate, metric_count(rate)),
          where_known(left, clock_time(std::isfinite(left) ? left : 0)),
          run.experts() > 0 ? text(run.dead_experts(), " of ", run.experts()) : "—",
          sparkline(run.losses().means(kCurveColumns))};
}

std::string line_of(const Cells& cells, const std::vector<size_t>& widths) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string space(widths[i] - columns_of(cells[i]), ' ');
    const bool left = i < kNameAndState || i + 1 == cells.size();
    line += (i > 0 ? "  " : "") + (left ? cells[i] + space : space + cells[i]);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace

std::string state_text(const WatchedRun& run, double now) {
  switch (run.state()) {
    case RunState::training: return "training";
    case RunState::finished: return "finished";
    case RunState::interrupted: return "interrupted";
    case RunState::stopped:
      return run.last_written() > 0 ? "stopped for " + duration_text(now - run.last_written()) : "stopped";
    case RunState::failed: return "failed";
  }
  return "";
}

std::string sparkline(const std::vector<double>& values) {
  static constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::string line;
  if (values.empty()) return line;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double range = *high - *low;
  for (const double value : values)
    line += kBlocks[range > 0 ? std::min<size_t>(7, static_cast<size_t>(8 * (value - *low) / range)) : 0];
  return line;
}

std::vector<std::string> watch_table(const std::vector<NamedRun>& runs, double now) {
  std::vector<Cells> rows = {
      {"run", "state", "step", "loss", "val ppl", "tokens/s", "left", "dead experts", "loss curve"}};
  for (const NamedRun& run : runs) rows.push_back(cells_of(run, now));
  std::vector<size_t> widths(rows[0].size());
  for (const Cells& cells : rows)
    for (size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], columns_of(cells[i]));
  std::vector<std::string> lines;
  for (const Cells& cells : rows) lines.push_back(line_of(cells, widths));
  for (const NamedRun& run : runs)
    if (!run.run->problem().empty()) lines.push_back(run.run->problem());
  return lines;
}

}  // namespace gptmoe
