#pragma once
#include "model/gpt.h"

namespace gptmoe {

// Memory for forward passes over B sequences of T tokens, for a model whose parameters are elsewhere: texts of other
// lengths than the batches it was trained on.
class ForwardWindow {
 public:
  // `gpt`'s parameters are there already. Throws Failure where the device has no room.
  ForwardWindow(const Gpt& gpt, Ops& ops, Communicator& communicator, int64_t B, int64_t T);

  const Activations& activations() const { return activations_; }
  // activations().final_NC of tokens_BT.
  void forward();
  // Then losses_N of targets_BT.
  void loss();
  // And the logits (V) that follow token n, 0 <= n < N, in the host's memory until the next call.
  const std::vector<float>& logits(int64_t n);

 private:
  void lay_out(int64_t B, int64_t T);

  const Gpt& gpt_;
  Ops& ops_;
  Communicator& communicator_;
  Arena arena_{"forward pass"};
  Scratch scratch_;
  Activations activations_;
  Tensor logits_1V_;
  std::vector<float> logits_;
};

}  // namespace gptmoe
