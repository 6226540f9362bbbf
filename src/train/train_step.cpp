#include "train/train_step.h"

#include <algorithm>
#include <cmath>

#include "optim/schedule.h"
#include "train/host_value.h"
#include "train/nonfinite.h"

namespace gptmoe {
namespace {

StepResult summarize(const Config& config, Instance& instance, Ops& ops, int64_t micro_batches) {
  StepResult result;
  const double tokens = static_cast<double>(config.train.global_batch_size * config.train.sequence_length);
  result.loss = host_value(ops.memory(), instance.loss_sum_1()) / tokens;
  result.grad_norm = std::sqrt(host_value(ops.memory(), instance.adamw().squared_norm()));
  const Tensor& sums_LW = instance.router_sums_LW();
  if (!sums_LW.present()) return result;
  const std::vector<double> sums = download_values(ops.memory(), sums_LW);
  result.has_router = true;
  result.expert_load_min = 1;
  const int64_t layers = sums_LW.size(0), width = sums_LW.size(1), experts = width - 2;
  const auto share = 1.0 / static_cast<double>(micro_batches);
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (int64_t e = 0; e < experts; ++e) {
      const double load = sums[static_cast<size_t>(layer * width + e)] * share;
      result.expert_load_max = std::max(result.expert_load_max, load);
      result.expert_load_min = std::min(result.expert_load_min, load);
    }
    result.load_balance_loss +=
        sums[static_cast<size_t>(layer * width + experts)] * share / static_cast<double>(layers);
  }
  return result;
}

}  // namespace

StepResult train_step(const Config& config, Instance& instance, Ops& ops, Communicator& communicator,
                      const NextBatch& next_batch, int64_t step) {
  Gpt& gpt = instance.gpt();
  AdamW& adamw = instance.adamw();
  const Activations& a = instance.activations();
  const int64_t ranks = communicator.size();
  const int64_t micro_batches = config.train.global_batch_size / (config.train.micro_batch_size * ranks);
  const double loss_scale = 1.0 / static_cast<double>(config.train.global_batch_size * config.train.sequence_length);
  const Pass pass{ops, instance.scratch(), communicator, PassKind::train,
                  1.0 / static_cast<double>(micro_batches * ranks)};

  ops.zero(gpt.params().grads());
  ops.zero(instance.loss_sum_1());
  if (a.router_stats_LW.present()) ops.zero(instance.router_sums_LW());

  for (int64_t micro_batch = 0; micro_batch < micro_batches; ++micro_batch) {
    next_batch(instance.batch_tokens_BT(), instance.batch_targets_BT());
    instance.upload_batch();
    gpt.forward(pass, a);
    gpt.loss_and_backward(pass, a, loss_scale);
    ops.accumulate_sum(instance.loss_sum_1(), a.losses_N);
    if (a.router_stats_LW.present())
      ops.residual_forward(instance.router_sums_LW(), instance.router_sums_LW(), a.router_stats_LW);
    require_finite_micro_batch(instance, ops, step, micro_batch);
  }

  communicator.all_reduce_sum(gpt.params().grads());
  communicator.all_reduce_sum(instance.loss_sum_1());
  if (a.router_stats_LW.present()) communicator.all_reduce_mean(instance.router_sums_LW());
  adamw.measure_norm(pass, gpt.params());
  require_finite_gradients(instance, ops, step);
  adamw.step(pass, gpt.params(),
             learning_rate_at(step, config.schedule, config.optimizer.learning_rate, config.train.steps), step + 1);
  gpt.end_step(pass);
  return summarize(config, instance, ops, micro_batches);
}

}  // namespace gptmoe
