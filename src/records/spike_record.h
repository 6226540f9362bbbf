#pragma once
#include <cstdint>
#include <vector>

#include "records/record.h"

namespace gptmoe {

// The state of train.skip_spikes, which checkpoints hold.
struct SpikeRecord {
  // Values of the latest steps, oldest first. Both lists have the same length, at most train.skip_spikes_window.
  std::vector<double> losses, grad_norms;
  int64_t skipped = 0;  // steps, since the run began

  bool operator==(const SpikeRecord&) const = default;
};

template <typename Visitor, Is<SpikeRecord> Record>
void visit_fields(Visitor& visitor, Record& spikes) {
  visitor.field("losses", spikes.losses, "Losses of the latest steps, oldest first.");
  visitor.field("grad_norms", spikes.grad_norms, "Gradient norms of these steps, before clipping.");
  visitor.field("skipped", spikes.skipped, "Steps that the run has skipped so far.");
}

}  // namespace gptmoe
