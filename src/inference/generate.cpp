#include "inference/generate.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "inference/forward_window.h"

namespace gptmoe {
namespace {

constexpr int64_t kSmallestWindow = 16;

}  // namespace

int32_t sample_token(const std::vector<float>& logits, const SamplingOptions& options, double uniform) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] != logits[static_cast<size_t>(b)]
               ? logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)]
               : a < b;
  };
  std::sort(order.begin(), order.end(), likelier);
  if (options.temperature == 0) return order.front();
  if (options.top_k > 0 && options.top_k < std::ssize(order)) order.resize(static_cast<size_t>(options.top_k));

  std::vector<double> weights;
  const double largest = logits[static_cast<size_t>(order.front())];
  double total = 0;
  for (int32_t id : order) {
    weights.push_back(std::exp((logits[static_cast<size_t>(id)] - largest) / options.temperature));
    total += weights.back();
  }
  double kept = 0;
  size_t count = 0;
  while (count < weights.size() && (count == 0 || kept < options.top_p * total)) kept += weights[count++];
  double threshold = uniform * kept;
  for (size_t i = 0; i < count; ++i) {
    threshold -= weights[i];
    if (threshold < 0) return order[i];
  }
  return order[count - 1];
}

void generate(const Config& config, const Gpt& gpt, Ops& ops, std::vector<int32_t> tokens, int64_t count,
              const SamplingOptions& options, const Rng& rng, const std::function<bool(int32_t)>& on_token) {
  GPTMOE_CHECK(!tokens.empty());
  const auto communicator = make_single_communicator();
  const int64_t context = config.model.max_position_embeddings;
  std::map<int64_t, ForwardWindow> windows;  // by length: powers of two, so that a growing text needs few
  for (int64_t made = 0; made < count; ++made) {
    const int64_t visible = std::min(context, std::ssize(tokens));
    int64_t T = kSmallestWindow;
    while (T < visible) T *= 2;
    T = std::min(T, context);
    ForwardWindow& window = windows.try_emplace(T, gpt, ops, *communicator, 1, T).first->second;
    // Attention is causal: padding after the last visible token cannot affect it.
    std::vector<int32_t> ids(tokens.end() - visible, tokens.end());
    ids.resize(static_cast<size_t>(T));
    ops.memory().upload(window.activations().tokens_BT, ids.data());
    window.forward();
    tokens.push_back(sample_token(window.logits(visible - 1), options, rng.uniform(static_cast<uint64_t>(made))));
    if (!on_token(tokens.back())) return;
  }
}

}  // namespace gptmoe
