#include "engine/train_step.h"

#include "engine/schedule.h"

namespace gptmoe {

TrainStep::TrainStep(const Config& config, Engine& engine, Ops& ops, Communicator& communicator)
    : config_(config),
      engine_(engine),
      ops_(ops),
      communicator_(communicator),
      micro_batches_(config.train.micro_batches(communicator.size())),
      pass_{ops, engine.scratch(), communicator, PassKind::train,
            1.0 / static_cast<double>(micro_batches_ * communicator.size())} {}

void TrainStep::run(const NextBatch& next_batch, int64_t step, const CarryOut& carry_out,
                    const std::function<bool()>& skips) {
  const double learning_rate =
      learning_rate_at(step, config_.schedule, config_.optimizer.learning_rate, config_.train.steps);
  engine_.optimizer().set_step(ops_.memory(), learning_rate, step + 1);
  engine_.weight_average().set_step(ops_.memory(), step + 1);
  carry_out({StepPart::begin}, [this] { begin(); });
  for (int64_t m = 0; m < micro_batches_; ++m) {
    next_batch(engine_.batch_tokens_BT(), engine_.batch_targets_BT());
    engine_.upload_batch();
    const StepPart part = micro_batch_part(m == 0, m + 1 == micro_batches_);
    carry_out(part, [&] { micro_batch(part); });
  }
  carry_out({StepPart::measure}, [this] { measure(); });
  if (skips && skips())
    carry_out({StepPart::skip}, [this] { skip(); });
  else
    carry_out({StepPart::update}, [this] { update(); });
}

void TrainStep::begin() {
  ops_.zero(engine_.gpt().params().grads());
  ops_.zero(engine_.sums().all_S);
  if (engine_.kept_state().present()) ops_.copy(engine_.kept_state(), engine_.router_state());
}

void TrainStep::micro_batch(const StepPart& part) {
  const Gpt& gpt = engine_.gpt();
  const Activations& a = engine_.activations();
  const StepSums& sums = engine_.sums();
  DataParallel& ranks = engine_.data_parallel();
  const double loss_scale = 1.0 / static_cast<double>(config_.train.global_batch_size * config_.train.sequence_length);

  Pass pass = pass_;
  if (part.gathers) pass.gatherer = &ranks, ranks.gather(pass, gpt.params());
  if (part.reduces) pass.reducer = &ranks;
  gpt.forward(pass, a);
  gpt.loss_and_backward(pass, a, loss_scale);
  if (part.reduces) ranks.finish_reductions(pass, gpt.params());
  ops_.accumulate_sum(sums.loss_1, a.losses_N);
  if (a.z_loss_1.present()) ops_.accumulate_sum(sums.z_loss_1, a.z_loss_1);
  if (sums.router_LW.present()) ops_.residual_forward(sums.router_LW, sums.router_LW, a.router_stats_LW);
}

void TrainStep::measure() {
  communicator_.all_reduce(engine_.sums().all_S, Traffic::reports);
  engine_.optimizer().measure_norm(pass_, engine_.gpt().params(), engine_.sums().squared_norm_1);
}

void TrainStep::update() {
  const StepSums& sums = engine_.sums();
  engine_.optimizer().update(pass_, engine_.gpt().params(), sums.squared_norm_1, sums.loss_1);
  engine_.weight_average().update(ops_, engine_.gpt().params());
  engine_.gpt().end_step(pass_);
}

void TrainStep::skip() {
  if (engine_.kept_state().present()) ops_.copy(engine_.router_state(), engine_.kept_state());
}

StepPart TrainStep::micro_batch_part(bool first, bool last) const {
  return {.name = StepPart::micro_batch,
          .gathers = first && engine_.data_parallel().shards_optimizer(),
          .reduces = communicator_.size() > 1 && (last || engine_.data_parallel().shards_gradients())};
}

void TrainStep::exchange_average() {
  engine_.weight_average().exchange(ops_, engine_.gpt().params());
  gather_weights();
}

void TrainStep::gather_weights() {
  if (communicator_.size() == 1) return;
  DataParallel& ranks = engine_.data_parallel();
  ranks.gather(pass_, engine_.gpt().params());
  ranks.await_all(pass_, engine_.gpt().params());
}

}  // namespace gptmoe
