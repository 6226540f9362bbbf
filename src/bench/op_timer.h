#pragma once
// Adds up the time, the floating-point operations and the bytes to move of the calls of each op. On a GPU, the host
// waits before and after each call, and CUDA graphs are not replayed. So all calls of a step together take longer than
// an ordinary step.
#include <chrono>
#include <map>
#include <string>
#include <utility>

#include "kernels/ops.h"
#include "predict/gpu.h"

namespace gptmoe {

// All calls of one op at one shape.
struct OpTotal {
  Part part = Part::memory;
  int64_t calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
  // Seconds of one call, as predicted (predict/gpu_times.h); 0: the device is not a known GPU.
  double predicted = 0;
};
// Totals by the op's name and shape (OpCall::shape()).
using OpTotals = std::map<std::pair<std::string, std::string>, OpTotal>;

class OpTimer final : public OpObserver {
 public:
  // live_share: the share of the R sorted rows that should be live (Gpt::live_share()).
  OpTimer(const Ops& ops, double live_share)
      : ops_(ops), live_share_(live_share), gpu_(gpu_described(ops.describe())) {}

  // The calls since the previous take_totals().
  OpTotals take_totals() { return std::exchange(totals_, {}); }

  void before(const OpCall&) override;
  void after(const OpCall& call) override;

 private:
  Ops ops_;
  double live_share_;
  const Gpu* gpu_;
  std::chrono::steady_clock::time_point start_;
  OpTotals totals_;
};

}  // namespace gptmoe
