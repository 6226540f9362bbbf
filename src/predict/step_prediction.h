#pragma once
// Predicts the time of a step by running one step of one rank on ops and collectives that do nothing but count. Ops run
// one after another, each in a predicted time. Collectives run one after another too, and overlap with the ops until
// the ops wait for them.
#include <map>

#include "engine/engine.h"
#include "predict/network.h"

namespace gptmoe {

// Predicts the time of op calls on a device, and counts the calls.
class CallTimes {
 public:
  virtual ~CallTimes() = default;
  // The seconds of one call, which a step makes `times` times.
  virtual double take(const OpCall& call, double times) = 0;
  // The share of the device's speed that its ops lose while a collective runs.
  virtual double lost_to_collectives() const = 0;
};

// A device with only two known rates.
class FlatTimes final : public CallTimes {
 public:
  // `flops`: FLOP/s of matrix products and attention. `memory_bytes`: bytes/s of the optimizer. Other ops take no time.
  FlatTimes(double flops, double memory_bytes, double live_share = 1)
      : flops_(flops), memory_bytes_(memory_bytes), live_share_(live_share) {}
  double take(const OpCall& call, double times) override;
  double lost_to_collectives() const override { return 0; }

 private:
  double flops_, memory_bytes_, live_share_;
};

// The collectives of one kind in a step.
struct CollectiveTotal {
  int64_t calls = 0;
  double bytes = 0;    // of the tensors
  double seconds = 0;  // from each start to each end
  // Bytes of the largest collective's tensor, and the algorithm that collective_time() chose for it.
  int64_t largest = 0;
  const char* algorithm = "";
};
using CollectiveTotals = std::map<std::pair<Traffic, Collective>, CollectiveTotal>;

struct StepPrediction {
  std::array<double, kParts> compute{};  // seconds, by Part
  TrafficCosts communication;            // its `seconds` are the time that the ops wait for collectives
  CollectiveTotals collectives;
  double slowed = 0;          // seconds that the ops lose while collectives run beside them
  int64_t micro_batches = 0;  // of this rank
  double micro_batch = 0;     // seconds of one micro-batch's ops, which is a part of `compute`

  double computing() const;
  double waiting() const;
  double in_all() const { return computing() + waiting() + slowed; }
};

// Predicts a step of `config` on the network's ranks. `ops` plans the memory. Throws UserError if the ranks cannot
// share the batch equally.
StepPrediction predict_step(const Config& config, const Ops& ops, CallTimes& times, const Network& network);

}  // namespace gptmoe
