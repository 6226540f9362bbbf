#pragma once
// Predicts the ops of a step on a GPU (kernel_estimate.h), and keeps a table of their kernels.
#include <map>

#include "predict/kernel_estimate.h"
#include "predict/step_prediction.h"

namespace gptmoe {

// All calls in a step of one op at one shape.
struct OpEstimate {
  Part part = Part::memory;
  double calls = 0, flops = 0, bytes = 0;
  double floor = 0;                     // floor_seconds()
  double seconds = 0;                   // kernels and gaps
  double gaps = 0;                      // between kernels
  std::vector<KernelEstimate> kernels;  // their `launches`, `flops`, `bytes` and `seconds` are sums over the calls
};
// By the op's name and shape (OpCall::shape()).
using OpEstimates = std::map<std::pair<std::string, std::string>, OpEstimate>;

class GpuTimes final : public CallTimes {
 public:
  // live_share: as for kernels_of(). `gpu` must outlive the object.
  GpuTimes(const Gpu& gpu, double live_share) : gpu_(gpu), live_share_(live_share) {}
  double take(const OpCall& call, double times) override;
  double lost_to_collectives() const override;

  const OpEstimates& ops() const { return ops_; }
  const Gpu& gpu() const { return gpu_; }

 private:
  const Gpu& gpu_;
  double live_share_;
  OpEstimates ops_;
};

// The least time of one call, in seconds: its FLOPs at the rate of large products in the precision of the ops, or its
// bytes at the rate of large copies, whichever takes longer.
double floor_seconds(const OpCall& call, const Gpu& gpu, double live_share);
// The predicted seconds of one call.
double call_seconds(const OpCall& call, const Gpu& gpu, double live_share);

}  // namespace gptmoe
