#pragma once
#include <functional>
#include <span>

#include "inference/requests.h"
#include "model/gpt.h"

namespace gptmoe {

struct Likelihood {
  double log_likelihood = 0;  // nats, over all scored tokens
  bool greedy = false;        // if requested: whether each scored token is the likeliest (ties: the lower id)
  bool truncated = false;     // the model saw only part of the context
};

struct ScoringOptions {
  int64_t batch_tokens;  // approximate minimum N of a micro-batch
  bool greedy = false;
};

// One result per request, in order. The model sees at most the last max_position_embeddings tokens, its window. A
// continuation that is longer than the window is scored in parts of half a window, each preceded by the half window
// before it. Requests of similar length share a micro-batch, the longest first, and consecutive requests that differ
// only in their last token share a sequence. Padding affects no result, so results depend on the micro-batch's size
// only through rounding. Parameters and router state do not change. on_progress gets the number of tokens done and the
// total. Throws Failure if a log-likelihood is not finite.
std::vector<Likelihood> score_requests(const Gpt& gpt, Ops& ops, std::span<const Request> requests,
                                       const ScoringOptions& options,
                                       const std::function<void(int64_t done, int64_t total)>& on_progress);

}  // namespace gptmoe
