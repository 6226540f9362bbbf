#pragma once
#include "routing/routing_policy.h"

namespace gptmoe {

// y_n = sum of the K chosen experts' outputs times their gates; only chosen experts' probabilities receive a gradient.
class TopkPolicy : public RoutingPolicy {
 public:
  using RoutingPolicy::RoutingPolicy;

  void combine_backward(const Pass& pass, const Routing& routing, const Tensor& drows_RC, const Tensor& dprobs_NE,
                        const Tensor& dy_NC, const Tensor& rows_RC) override;

 protected:
  // The factor by which route() multiplied the gates.
  virtual double gate_scale() const { return 1; }
};

}  // namespace gptmoe
