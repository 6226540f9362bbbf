#pragma once
#include "config/config.h"
#include "records/spike_record.h"

namespace gptmoe {

// Decides which steps are outliers, by the rule of OLMo-core's SkipStepOptimizer. A step is an outlier if its loss or
// its gradient norm is more than skip_spikes sample standard deviations above the mean of the steps in the window. The
// window holds the latest skip_spikes_window steps. Skipped steps count too, so that a lasting change is soon accepted.
// No step is skipped before the window is half full. The loss and the gradient norm of a step are the same on every
// rank, so every rank decides alike.
class SpikeWindow {
 public:
  explicit SpikeWindow(const TrainConfig& config)
      : deviations_(config.skip_spikes), steps_(static_cast<size_t>(config.skip_spikes_window)) {}

  // Decides whether to skip the next step, which has this loss and gradient norm, and adds both to the window. If one
  // of them is not finite, returns false and adds nothing: such a step ends the run.
  bool skips(double loss, double grad_norm);

  const SpikeRecord& record() const { return record_; }
  // Continues from a checkpoint's record, whose window may have had another length.
  void restore(SpikeRecord record);

 private:
  void shorten(size_t steps);  // keeps at most this number of latest steps

  double deviations_;
  size_t steps_;
  SpikeRecord record_;
};

}  // namespace gptmoe
