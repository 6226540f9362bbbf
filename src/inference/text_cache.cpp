#include "inference/text_cache.h"

#include <algorithm>

namespace gptmoe {
namespace {

// The tokens that the last token sees: those after the last `end` before it.
std::span<const int32_t> last_document(std::span<const int32_t> text, int64_t end) {
  size_t start = text.size() - 1;
  while (start > 0 && text[start - 1] != end) --start;
  return text.subspan(start);
}

}  // namespace

TextCache::TextCache(const Gpt& gpt, Ops& ops, int64_t positions) : gpt_(gpt), ops_(ops), positions_(positions) {
  GPTMOE_CHECK(positions >= 1 && positions <= gpt.config().max_position_embeddings, positions);
  gpt_.allocate_cache(arena_, ops_, 1, positions_);
  arena_.commit(ops_.memory());
  cache_ = gpt_.allocate_cache(arena_, ops_, 1, positions_);
  gpt_.prepare(ops_, cache_.rope);
}

int64_t TextCache::bytes(const Gpt& gpt, const Ops& ops, int64_t positions) {
  Arena plan("keys and values");
  gpt.allocate_cache(plan, ops, 1, positions);
  return plan.high_water();
}

const std::vector<float>& TextCache::logits_after(std::span<const int32_t> text) {
  GPTMOE_CHECK(!text.empty() && std::ssize(text) <= positions_, text.size());
  if (gpt_.document_end() >= 0) text = last_document(text, gpt_.document_end());
  // The last token runs even if its keys and values are kept, since its logits are not.
  const auto before_last = text.first(text.size() - 1);
  const auto known = std::mismatch(before_last.begin(), before_last.end(), kept_.begin(), kept_.end()).first;
  const int64_t first = known - before_last.begin();
  latest_run_ = std::ssize(text) - first;
  kept_.resize(static_cast<size_t>(first));
  ForwardWindow& run = window(latest_run_);
  ops_.memory().upload(run.activations().tokens_BT, text.data() + first);
  run.continue_texts(cache_, first);
  run.forward();
  kept_.assign(text.begin(), text.end());
  return run.logits(latest_run_ - 1);
}

ForwardWindow& TextCache::window(int64_t T) {
  std::unique_ptr<ForwardWindow>& window = T == 1 ? single_ : several_;
  if (window && window->activations().tokens_BT.count() == T) return *window;
  window.reset();  // frees its memory first
  window = std::make_unique<ForwardWindow>(gpt_, ops_, *communicator_, 1, T);
  return *window;
}

}  // namespace gptmoe
