#pragma once
#include "routing/routing_policy.h"

namespace gptmoe {

// What the mixtures of a pass show to whoever measures them (Pass::observer). Called for each in the order in which
// they run: first to last in a forward, last to first in a backward. The tensors hold what they say during the call
// only.
class MoeObserver {
 public:
  virtual ~MoeObserver() = default;
  // rows_RC: the experts' outputs before the combine. Not in recomputation.
  virtual void forward(const Routing& /*routing*/, const Tensor& /*rows_RC*/) {}
  // Before the router's backward. x_NC: the layer's input; dy_NC: the gradient of its output; dprobs_NE: what the
  // policy has made of it.
  virtual void backward(const Routing& /*routing*/, const Tensor& /*x_NC*/, const Tensor& /*dy_NC*/,
                        const Tensor& /*dprobs_NE*/) {}
};

}  // namespace gptmoe
