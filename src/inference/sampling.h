#pragma once
#include <cstdint>
#include <vector>

namespace gptmoe {

struct SamplingOptions {
  double temperature = 1.0;  // 0 = the most likely token
  int64_t top_k = 0;         // 0 = all
  double top_p = 1.0;        // nucleus (Holtzman et al. 2020): the smallest set of likeliest tokens with this mass
};

// Samples a token from softmax(logits / temperature), restricted by top_k and top_p, with the random number `uniform`
// in [0, 1). Ties go to the lower id. A token whose logit is minus infinity is never the result. Throws Failure if a
// logit is NaN or infinite, or if all are minus infinity.
int32_t sample_token(const std::vector<float>& logits, const SamplingOptions& options, double uniform);

}  // namespace gptmoe
