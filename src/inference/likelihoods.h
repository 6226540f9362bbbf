#pragma once
#include <functional>
#include <span>

#include "inference/requests.h"
#include "model/gpt.h"

namespace gptmoe {

struct Likelihood {
  double log_likelihood = 0;  // nats, of all tokens asked for
  bool greedy = false;        // each of them is the model's likeliest (the lower id of equals), where asked for
  bool truncated = false;     // the model saw less of the context than there is
};

struct ScoringOptions {
  int64_t batch_tokens;  // N of a micro-batch, at least about
  bool greedy = false;
};

// Of each request, in order. The model's window holds its max_position_embeddings last tokens; a continuation that is
// longer is scored in stretches of half a window, each after the half window before it. Requests of about one length
// share a micro-batch, the longest first, and neighbours that differ in their last token alone share a sequence; what
// fills it up reaches nobody, so results depend on the micro-batch's size by rounding alone. Parameters and router
// state stay untouched. on_progress has the tokens that are done, and all. Throws Failure for a model that has become
// NaN.
std::vector<Likelihood> score_requests(const Gpt& gpt, Ops& ops, std::span<const Request> requests,
                                       const ScoringOptions& options,
                                       const std::function<void(int64_t done, int64_t total)>& on_progress);

}  // namespace gptmoe
