#pragma once
#include <functional>
#include <vector>

#include "base/rng.h"
#include "config/config.h"
#include "model/gpt.h"

namespace gptmoe {

struct SamplingOptions {
  double temperature = 1.0;  // 0 = the most likely token
  int64_t top_k = 0;         // 0 = all
  double top_p = 1.0;        // nucleus (Holtzman et al. 2020): the smallest set of likeliest tokens with this mass
};

// A token sampled from softmax(logits / temperature) cut to top_k and top_p; `uniform` in [0, 1) decides. Ties go to
// the lower id.
int32_t sample_token(const std::vector<float>& logits, const SamplingOptions& options, double uniform);

// Extends `tokens` one by one, calling on_token with each, until `count` are made or on_token returns false. The model
// sees the last max_position_embeddings tokens. Runs the whole visible text for every token.
void generate(const Config& config, const Gpt& gpt, Ops& ops, std::vector<int32_t> tokens, int64_t count,
              const SamplingOptions& options, const Rng& rng, const std::function<bool(int32_t)>& on_token);

}  // namespace gptmoe
