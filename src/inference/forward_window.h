#pragma once
#include "model/gpt.h"

namespace gptmoe {

// Memory for a model's forward passes over B sequences of T tokens, which need not be the sizes of training batches.
// Does not hold the model's parameters.
class ForwardWindow {
 public:
  // The parameters of `gpt` must be loaded. Throws Failure if the device has no room.
  ForwardWindow(const Gpt& gpt, Ops& ops, Communicator& communicator, int64_t B, int64_t T);

  const Activations& activations() const { return activations_; }
  // Later forward passes continue the cache's texts, see Activations::continue_texts(). The cache must outlive them.
  void continue_texts(const KeyValueCache& cache, int64_t first) { activations_.continue_texts(cache, first); }
  // Computes activations().final_NC from tokens_BT.
  void forward();
  // After forward(): computes losses_N from targets_BT.
  void loss();
  // After forward(): the logits (V) after token n, 0 <= n < N, in the host's memory until the next call.
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
