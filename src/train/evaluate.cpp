#include "train/evaluate.h"

#include <algorithm>
#include <cmath>

#include "train/host_value.h"

namespace gptmoe {
namespace {

// Fills a micro-batch with windows first, first+1, ...; rows beyond `count` repeat the last one and are not scored.
void fill_batch(const Activations& a, const TokenLoader& loader, int64_t first, int64_t count) {
  const int64_t B = a.tokens_BT.size(0), T = a.tokens_BT.size(1);
  for (int64_t b = 0; b < B; ++b)
    loader.window(first + std::min(b, count - 1), a.tokens_BT.rows(b, 1).view({T}), a.targets_BT.rows(b, 1).view({T}));
}

void add_router_stats(EvalResult& result, const Tensor& stats_LW) {
  const auto layers = static_cast<size_t>(stats_LW.size(0));
  const int64_t width = stats_LW.size(1), experts = width - 2;
  result.expert_load.resize(layers, std::vector<double>(static_cast<size_t>(experts)));
  result.router_entropy.resize(layers);
  for (size_t layer = 0; layer < layers; ++layer) {
    const int64_t row = static_cast<int64_t>(layer) * width;
    for (int64_t e = 0; e < experts; ++e)
      result.expert_load[layer][static_cast<size_t>(e)] += host_value(stats_LW, row + e);
    result.router_entropy[layer] += host_value(stats_LW, row + experts + 1);
  }
}

}  // namespace

EvalResult evaluate(Instance& instance, Ops& ops, Communicator& communicator, const TokenLoader& loader,
                    int64_t tokens) {
  const Activations& a = instance.activations();
  const int64_t B = a.tokens_BT.size(0), T = a.tokens_BT.size(1);
  const int64_t wanted = tokens == 0 ? loader.windows() : std::max<int64_t>(1, tokens / T);
  const int64_t windows = std::min(loader.windows(), wanted);
  const Pass pass{ops, instance.scratch(), communicator, PassKind::evaluate};

  EvalResult result;
  double loss_sum = 0;
  int64_t stat_batches = 0;
  for (int64_t first = 0; first < windows; first += B) {
    const int64_t count = std::min(B, windows - first);
    fill_batch(a, loader, first, count);
    instance.gpt().forward(pass, a);
    instance.gpt().loss(pass, a);
    for (int64_t n = 0; n < count * T; ++n) loss_sum += host_value(a.losses_N, n);
    if (a.router_stats_LW.present() && (count == B || windows < B)) {
      add_router_stats(result, a.router_stats_LW);
      ++stat_batches;
    }
  }
  result.tokens = windows * T;
  result.loss = loss_sum / static_cast<double>(result.tokens);
  result.perplexity = std::exp(result.loss);
  for (auto& layer : result.expert_load)
    for (double& load : layer) load /= static_cast<double>(stat_batches);
  for (double& entropy : result.router_entropy) entropy /= static_cast<double>(stat_batches);
  return result;
}

}  // namespace gptmoe
