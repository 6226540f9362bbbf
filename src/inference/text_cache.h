#pragma once
#include <memory>
#include <span>

#include "inference/forward_window.h"

namespace gptmoe {

// Computes the next-token logits of texts that grow. Keeps the keys and values of the latest text's tokens, so that a
// text with the same beginning costs only a pass over its other tokens.
class TextCache {
 public:
  // For texts of up to `positions` tokens, at most max_position_embeddings. The parameters of `gpt` must be loaded, and
  // `gpt` and `ops` must outlive the object. Throws Failure if the device has no room.
  TextCache(const Gpt& gpt, Ops& ops, int64_t positions);

  // The memory that the cached keys and values take. In addition, logits_after() needs the memory of a forward pass
  // over the tokens that it runs at a time.
  static int64_t bytes(const Gpt& gpt, const Ops& ops, int64_t positions);

  int64_t positions() const { return positions_; }
  int64_t vocab_size() const { return gpt_.config().vocab_size; }
  // The logits (V) after `text`, 1 to positions() token ids below V. They equal a forward pass over the whole text, up
  // to rounding. With a document mask, only the text's last document runs: no other token is seen. The logits stay in
  // the host's memory until the next call.
  const std::vector<float>& logits_after(std::span<const int32_t> text);
  // The number of tokens that the latest logits_after() passed through the model.
  int64_t latest_run() const { return latest_run_; }

 private:
  // The window for passes over T tokens. Two windows are kept: one for single tokens, and one for the latest other
  // length.
  ForwardWindow& window(int64_t T);

  const Gpt& gpt_;
  Ops& ops_;
  int64_t positions_, latest_run_ = 0;
  std::unique_ptr<Communicator> communicator_ = make_single_communicator();
  Arena arena_{"keys and values"};
  KeyValueCache cache_;
  std::vector<int32_t> kept_;  // the tokens whose keys and values cache_ has
  std::unique_ptr<ForwardWindow> single_, several_;
};

}  // namespace gptmoe
