#include "inference/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace gptmoe {
namespace {

struct Candidate {
  int32_t id;
  float logit;
  double weight = 0;

  bool likelier_than(const Candidate& other) const {
    return logit != other.logit ? logit > other.logit : id < other.id;
  }
};

std::vector<Candidate> candidates_of(const std::vector<float>& logits) {
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (size_t id = 0; id < logits.size(); ++id) {
    if (logits[id] == -std::numeric_limits<float>::infinity()) continue;
    if (!std::isfinite(logits[id])) throw Failure("the model's logits are not finite, so its run diverged");
    candidates.push_back({static_cast<int32_t>(id), logits[id]});
  }
  if (candidates.empty()) throw Failure("the model's logits are all minus infinity, so its run diverged");
  return candidates;
}

// Moves the likeliest tokens that together have `share` of the total weight to the end, and returns their number.
size_t nucleus(std::vector<Candidate>& candidates, double share, double total) {
  const auto likelier_last = [](const Candidate& a, const Candidate& b) { return b.likelier_than(a); };
  std::make_heap(candidates.begin(), candidates.end(), likelier_last);
  double kept = 0;
  size_t count = 0;
  for (auto end = candidates.end(); end != candidates.begin() && (count == 0 || kept < share * total); ++count) {
    std::pop_heap(candidates.begin(), end, likelier_last);
    kept += (--end)->weight;
  }
  return count;
}

}  // namespace

int32_t sample_token(const std::vector<float>& logits, const SamplingOptions& options, double uniform) {
  std::vector<Candidate> candidates = candidates_of(logits);
  const auto likelier = [](const Candidate& a, const Candidate& b) { return a.likelier_than(b); };
  const Candidate likeliest = *std::min_element(candidates.begin(), candidates.end(), likelier);
  if (options.temperature == 0) return likeliest.id;
  if (options.top_k > 0 && options.top_k < std::ssize(candidates)) {
    std::nth_element(candidates.begin(), candidates.begin() + options.top_k, candidates.end(), likelier);
    candidates.resize(static_cast<size_t>(options.top_k));
  }
  double total = 0;
  for (Candidate& each : candidates) {
    each.weight = std::exp((static_cast<double>(each.logit) - likeliest.logit) / options.temperature);
    total += each.weight;
  }
  if (options.top_p < 1) {
    const size_t kept = nucleus(candidates, options.top_p, total);
    candidates.erase(candidates.begin(), candidates.end() - static_cast<std::ptrdiff_t>(kept));
    total = 0;
    for (const Candidate& each : candidates) total += each.weight;
  }
  double threshold = uniform * total;
  for (const Candidate& each : candidates) {
    threshold -= each.weight;
    if (threshold < 0) return each.id;
  }
  return likeliest.id;  // only rounding leads here
}

}  // namespace gptmoe
