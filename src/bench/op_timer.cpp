#include "bench/op_timer.h"

#include "predict/gpu_times.h"

namespace gptmoe {

void OpTimer::before(const OpCall&) {
  ops_.synchronize();
  start_ = std::chrono::steady_clock::now();
}

void OpTimer::after(const OpCall& call) {
  ops_.synchronize();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  OpTotal& total = totals_[{call.name(), call.shape()}];
  total.part = call.part();
  // Predicting is slow, and calls of one op at one shape are alike.
  if (gpu_ && total.calls == 0) total.predicted = call_seconds(call, *gpu_, live_share_);
  ++total.calls;
  total.seconds += seconds;
  total.flops += call.flops(live_share_);
  total.bytes += call.bytes(live_share_);
}

}  // namespace gptmoe
