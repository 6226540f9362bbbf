#include "train/generate.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "kernels/plan_ops.h"

namespace gptmoe {
namespace {

constexpr int64_t kSmallestWindow = 16;

// Memory for one window length. Lengths are powers of two, so that a growing text meets few of them.
struct Window {
  Arena arena{"generation"};
  Scratch scratch;
  Activations activations;
  Tensor logits_1V;

  Window(const Gpt& gpt, Ops& ops, Communicator& communicator, int64_t T) {
    const auto lay_out = [&] {
      activations = gpt.allocate(arena, ops, 1, T, ActivationMode::forward_only);
      logits_1V = arena.allocate(ops.statistics_dtype(), {1, gpt.config().vocab_size});
    };
    lay_out();
    PlanOps plan(ops);
    gpt.forward({plan, scratch, communicator, PassKind::evaluate}, activations);
    arena.commit(ops.memory());
    scratch.commit(ops.memory());
    lay_out();
    gpt.prepare(ops, activations);
  }
};

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
  GPTMOE_CHECK(!tokens.empty() && ops.statistics_dtype() == DType::f32);
  const auto communicator = make_single_communicator();
  const int64_t context = config.model.max_position_embeddings;
  std::map<int64_t, Window> windows;
  std::vector<float> logits(static_cast<size_t>(config.model.vocab_size));
  for (int64_t made = 0; made < count; ++made) {
    const int64_t visible = std::min(context, std::ssize(tokens));
    int64_t T = kSmallestWindow;
    while (T < visible) T *= 2;
    T = std::min(T, context);
    Window& window = windows.try_emplace(T, gpt, ops, *communicator, T).first->second;
    // Attention is causal: what fills the rest of the window cannot reach the last visible token.
    std::vector<int32_t> ids(tokens.end() - visible, tokens.end());
    ids.resize(static_cast<size_t>(T));
    ops.memory().upload(window.activations.tokens_BT, ids.data());
    const Pass pass{ops, window.scratch, *communicator, PassKind::evaluate};
    gpt.forward(pass, window.activations);
    gpt.logits(pass, window.activations, window.logits_1V, visible - 1, 1);
    ops.memory().download(logits.data(), window.logits_1V);
    tokens.push_back(sample_token(logits, options, rng.uniform(static_cast<uint64_t>(made))));
    if (!on_token(tokens.back())) return;
  }
}

}  // namespace gptmoe
