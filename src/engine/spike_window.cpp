#include "engine/spike_window.h"

#include <algorithm>
#include <cmath>

#include "base/statistics.h"

namespace gptmoe {
namespace {

bool is_above(double value, const std::vector<double>& before, double deviations) {
  const Statistics usual = statistics_of(before);
  return value > usual.mean + deviations * usual.std;
}

void keep_last(std::vector<double>& values, size_t count) {
  values.erase(values.begin(), values.end() - static_cast<std::ptrdiff_t>(std::min(count, values.size())));
}

}  // namespace

bool SpikeWindow::skips(double loss, double grad_norm) {
  if (!std::isfinite(loss) || !std::isfinite(grad_norm)) return false;
  const bool skip = 2 * record_.losses.size() >= steps_ && (is_above(loss, record_.losses, deviations_) ||
                                                            is_above(grad_norm, record_.grad_norms, deviations_));
  shorten(steps_ - 1);
  record_.losses.push_back(loss);
  record_.grad_norms.push_back(grad_norm);
  record_.skipped += skip;
  return skip;
}

void SpikeWindow::restore(SpikeRecord record) {
  record_ = std::move(record);
  shorten(steps_);
}

void SpikeWindow::shorten(size_t steps) {
  keep_last(record_.losses, steps);
  keep_last(record_.grad_norms, steps);
}

}  // namespace gptmoe
