#include "inference/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

namespace gptmoe {
namespace {

// Sums of the routers' statistics over micro-batches. `load` is over all ranks, the others over this rank only.
struct RouterSums {
  std::vector<std::vector<double>> load;
  std::vector<double> entropy, balance, fill, output;  // the last two are sums of squared norms
  int64_t batches = 0;

  RouterSums(size_t layers, size_t experts)
      : load(layers, std::vector<double>(experts)), entropy(layers), balance(layers), fill(layers), output(layers) {}

  void add(Memory& memory, const Tensor& stats_LW) {
    const std::vector<double> stats = download_values(memory, stats_LW);
    const size_t width = stats.size() / load.size(), experts = load[0].size();
    for (size_t layer = 0; layer < load.size(); ++layer) {
      const double* row = stats.data() + layer * width;
      for (size_t e = 0; e < experts; ++e) load[layer][e] += row[e];
      balance[layer] += row[experts];
      entropy[layer] += row[experts + 1];
      fill[layer] += row[experts + 2];
      output[layer] += row[experts + 3];
    }
    ++batches;
  }

  void report(EvalResult& result, World& world) {
    for (std::vector<double>* sums : {&entropy, &balance, &fill, &output}) world.sum(*sums);
    for (auto& layer : load)
      for (double& share : layer) share /= static_cast<double>(batches);
    for (std::vector<double>* sums : {&entropy, &balance})
      for (double& value : *sums) value /= static_cast<double>(batches * world.size());
    result.expert_load = load;
    result.router_entropy = entropy;
    result.load_balance_loss = balance;
    if (output[0] == 0) return;
    for (size_t layer = 0; layer < fill.size(); ++layer)
      result.fill_share.push_back(std::sqrt(fill[layer] / output[layer]));
  }
};

void add_scaled(std::vector<double>& sums, double scale, const std::vector<double>& values) {
  sums.resize(values.size());
  for (size_t i = 0; i < values.size(); ++i) sums[i] += scale * values[i];
}

}  // namespace

void fill_batch(Engine& engine, const TokenLoader& loader, int64_t first, int64_t last) {
  const Tensor &tokens_BT = engine.batch_tokens_BT(), &targets_BT = engine.batch_targets_BT();
  const int64_t B = tokens_BT.size(0), T = tokens_BT.size(1);
  for (int64_t b = 0; b < B; ++b)
    loader.window(std::min(first + b, last), tokens_BT.rows(b, 1).view({T}), targets_BT.rows(b, 1).view({T}));
  engine.upload_batch();
}

int64_t evaluated_windows(const TokenLoader& loader, int64_t T, int64_t tokens) {
  const int64_t wanted = tokens == 0 ? loader.windows() : std::max<int64_t>(1, tokens / T);
  return std::min(loader.windows(), wanted);
}

EvalResult evaluate(Engine& engine, Ops& ops, Communicator& communicator, World& world, const TokenLoader& loader,
                    int64_t tokens, const std::function<void(int64_t window, double loss)>& on_window) {
  const Activations& a = engine.activations();
  const int64_t B = a.tokens_BT.size(0), T = a.tokens_BT.size(1);
  const int64_t windows = evaluated_windows(loader, T, tokens);
  const Pass pass{ops, engine.scratch(), communicator, PassKind::evaluate};

  EvalResult result;
  double loss_sum = 0;
  std::optional<RouterSums> routers;
  if (a.router_stats_LW.present())
    routers.emplace(static_cast<size_t>(a.router_stats_LW.size(0)),
                    static_cast<size_t>(engine.gpt().config().num_experts));
  const int64_t together = B * world.size();  // windows that all ranks together process at a time
  for (int64_t start = 0; start < windows; start += together) {
    const int64_t first = start + world.rank() * B, count = std::clamp<int64_t>(windows - first, 0, B);
    fill_batch(engine, loader, first, windows - 1);
    engine.gpt().forward(pass, a);
    engine.gpt().loss(pass, a);
    const std::vector<double> losses = download_values(ops.memory(), a.losses_N.rows(0, count * T));
    for (const double loss : losses) loss_sum += loss;
    for (int64_t b = 0; on_window && b < count; ++b) {
      const auto own = losses.begin() + b * T;
      on_window(first + b, std::accumulate(own, own + T, 0.0) / static_cast<double>(T));
    }
    if (routers && (start + together <= windows || windows < together)) routers->add(ops.memory(), a.router_stats_LW);
    world.tick();
  }
  world.sum({&loss_sum, 1});
  result.tokens = windows * T;
  result.loss = loss_sum / static_cast<double>(result.tokens);
  result.perplexity = std::exp(result.loss);
  if (routers) routers->report(result, world);
  return result;
}

EvalResult evaluate(Engine& engine, Ops& ops, Communicator& communicator, World& world,
                    const std::vector<NamedText>& texts, int64_t tokens) {
  std::vector<EvalResult> results;
  EvalResult all;
  for (const NamedText& text : texts) {
    results.push_back(evaluate(engine, ops, communicator, world, text.loader, tokens));
    all.tokens += results.back().tokens;
    if (!text.name.empty()) all.loss_by_text.emplace_back(text.name, results.back().loss);
  }
  for (const EvalResult& result : results) {
    const double share = static_cast<double>(result.tokens) / static_cast<double>(all.tokens);
    all.loss += share * result.loss;
    add_scaled(all.router_entropy, share, result.router_entropy);
    add_scaled(all.load_balance_loss, share, result.load_balance_loss);
    add_scaled(all.fill_share, share, result.fill_share);
    all.expert_load.resize(result.expert_load.size());
    for (size_t layer = 0; layer < result.expert_load.size(); ++layer)
      add_scaled(all.expert_load[layer], share, result.expert_load[layer]);
  }
  all.perplexity = std::exp(all.loss);
  return all;
}

}  // namespace gptmoe
