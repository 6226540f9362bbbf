#pragma once
#include "routing/routing_policy.h"

namespace gptmoe {

// Observes the MoE layers of a pass (Pass::observer). It is called for each layer as the layers run:
// first to last in a forward pass, last to first in a backward pass. The tensors are valid only during the call.
class MoeObserver {
 public:
  virtual ~MoeObserver() = default;
  // rows_RC: the experts' outputs before the combine. Not called in recomputation.
  virtual void forward(const Routing& /*routing*/, const Tensor& /*rows_RC*/) {}
  // Called before the router's backward. x_NC: the layer's input; dy_NC: the gradient of its output; dprobs_NE: the
  // gradient of the probabilities, computed by the policy.
  virtual void backward(const Routing& /*routing*/, const Tensor& /*x_NC*/, const Tensor& /*dy_NC*/,
                        const Tensor& /*dprobs_NE*/) {}
};

}  // namespace gptmoe
