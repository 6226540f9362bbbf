#include "train/evaluate.h"

#include <algorithm>
#include <cmath>

namespace gptmoe {
namespace {

void add_router_stats(EvalResult& result, Memory& memory, const Tensor& stats_LW) {
  const std::vector<double> stats = download_values(memory, stats_LW);
  const auto layers = static_cast<size_t>(stats_LW.size(0));
  const auto width = static_cast<size_t>(stats_LW.size(1)), experts = width - 2;
  result.expert_load.resize(layers, std::vector<double>(experts));
  result.router_entropy.resize(layers);
  for (size_t layer = 0; layer < layers; ++layer) {
    const double* row = stats.data() + layer * width;
    for (size_t e = 0; e < experts; ++e) result.expert_load[layer][e] += row[e];
    result.router_entropy[layer] += row[experts + 1];
  }
}

}  // namespace

void fill_batch(Instance& instance, const TokenLoader& loader, int64_t first, int64_t last) {
  const Tensor &tokens_BT = instance.batch_tokens_BT(), &targets_BT = instance.batch_targets_BT();
  const int64_t B = tokens_BT.size(0), T = tokens_BT.size(1);
  for (int64_t b = 0; b < B; ++b)
    loader.window(std::min(first + b, last), tokens_BT.rows(b, 1).view({T}), targets_BT.rows(b, 1).view({T}));
  instance.upload_batch();
}

EvalResult evaluate(Instance& instance, Ops& ops, Communicator& communicator, World& world, const TokenLoader& loader,
                    int64_t tokens) {
  const Activations& a = instance.activations();
  const int64_t B = a.tokens_BT.size(0), T = a.tokens_BT.size(1);
  const int64_t wanted = tokens == 0 ? loader.windows() : std::max<int64_t>(1, tokens / T);
  const int64_t windows = std::min(loader.windows(), wanted);
  const Pass pass{ops, instance.scratch(), communicator, PassKind::evaluate};

  EvalResult result;
  double loss_sum = 0;
  int64_t stat_batches = 0;
  const int64_t together = B * world.size();  // windows that the ranks take at a time
  for (int64_t start = 0; start < windows; start += together) {
    const int64_t first = start + world.rank() * B, count = std::clamp<int64_t>(windows - first, 0, B);
    fill_batch(instance, loader, first, windows - 1);
    instance.gpt().forward(pass, a);
    instance.gpt().loss(pass, a);
    const std::vector<double> losses = download_values(ops.memory(), a.losses_N.rows(0, count * T));
    for (const double loss : losses) loss_sum += loss;
    if (a.router_stats_LW.present() && (start + together <= windows || windows < together)) {
      add_router_stats(result, ops.memory(), a.router_stats_LW);
      ++stat_batches;
    }
    world.tick();
  }
  world.sum({&loss_sum, 1});
  world.sum(result.router_entropy);
  result.tokens = windows * T;
  result.loss = loss_sum / static_cast<double>(result.tokens);
  result.perplexity = std::exp(result.loss);
  for (auto& layer : result.expert_load)
    for (double& load : layer) load /= static_cast<double>(stat_batches);
  for (double& entropy : result.router_entropy) entropy /= static_cast<double>(stat_batches * world.size());
  return result;
}

}  // namespace gptmoe
