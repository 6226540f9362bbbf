#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "data/loader.h"
#include "distributed/world.h"
#include "engine/engine.h"

namespace gptmoe {

struct EvalResult {
  double loss = 0;  // mean cross-entropy per token, nats
  double perplexity = 0;
  int64_t tokens = 0;
  // Per MoE layer, means over whole micro-batches; empty for dense models.
  std::vector<std::vector<double>> expert_load;  // share of assignments per expert
  std::vector<double> router_entropy;            // nats
  std::vector<double> load_balance_loss;         // 1 = perfectly balanced
  // Norm of the vectors that stand in for unchosen experts, divided by the norm of the layer's output, over all tokens;
  // empty if the router has no such vectors.
  std::vector<double> fill_share;
  std::vector<std::pair<std::string, double>> loss_by_text;  // empty if there is one text, without a name
};

// Fills a micro-batch with the loader's windows from `first` on. If it has room for windows after `last`, repeats
// `last`.
void fill_batch(Engine& engine, const TokenLoader& loader, int64_t first, int64_t last);

// The number of windows that evaluate() takes.
int64_t evaluated_windows(const TokenLoader& loader, int64_t T, int64_t tokens);

// Mean loss over the loader's first `tokens` tokens in file order, rounded down to whole windows (0 = all). The ranks
// of `world` share them: each calls this and gets the same result. Uses the engine's activations; parameters and
// router state do not change. `on_window` gets each window that this rank takes, in order, with its mean loss.
EvalResult evaluate(Engine& engine, Ops& ops, Communicator& communicator, World& world, const TokenLoader& loader,
                    int64_t tokens, const std::function<void(int64_t window, double loss)>& on_window = {});

// Evaluates the first `tokens` tokens of each text, as above, and returns the mean over the tokens of all texts.
EvalResult evaluate(Engine& engine, Ops& ops, Communicator& communicator, World& world,
                    const std::vector<NamedText>& texts, int64_t tokens);

}  // namespace gptmoe
