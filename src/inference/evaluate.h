#pragma once
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
  // Norm of what stands in for experts not chosen over the norm of the output, over all tokens; empty where nothing
  // stands in.
  std::vector<double> fill_share;
};

// Fills a micro-batch with the loader's windows first, first+1, ...; of those beyond `last` it has that one again.
void fill_batch(Engine& engine, const TokenLoader& loader, int64_t first, int64_t last);

// Mean loss over the loader's first `tokens` tokens in file order, rounded down to whole windows (0 = all), which the
// ranks of `world` share: each calls it, and has the same result. Uses the engine's activations; parameters and
// router state stay untouched. The loader is sequential and has its windows counted already: at least one.
EvalResult evaluate(Engine& engine, Ops& ops, Communicator& communicator, World& world, const TokenLoader& loader,
                    int64_t tokens);

}  // namespace gptmoe
