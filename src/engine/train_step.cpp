#include "engine/train_step.h"

#include <algorithm>
#include <cmath>

#include "distributed/agree.h"
#include "engine/nonfinite.h"
#include "engine/schedule.h"

namespace gptmoe {
namespace {

// `sums` as StepSums lays them out.
StepResult summarize(const Config& config, const Tensor& router_LW, const std::vector<double>& sums,
                     int64_t micro_batches) {
  StepResult result;
  const auto routed = static_cast<size_t>(router_LW.present() ? router_LW.count() : 0);
  const double tokens = static_cast<double>(config.train.global_batch_size * config.train.sequence_length);
  result.loss = sums[routed] / tokens;
  result.grad_norm = std::sqrt(sums[routed + 1]);
  if (!router_LW.present()) return result;
  result.expert_load_min = 1;
  const int64_t layers = router_LW.size(0), width = router_LW.size(1), experts = config.model.num_experts;
  const auto share = 1.0 / static_cast<double>(micro_batches);
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (int64_t e = 0; e < experts; ++e) {
      const double load = sums[static_cast<size_t>(layer * width + e)] * share;
      result.expert_load_max = std::max(result.expert_load_max, load);
      result.expert_load_min = std::min(result.expert_load_min, load);
    }
    result.load_balance_loss.push_back(sums[static_cast<size_t>(layer * width + experts)] * share);
  }
  return result;
}

}  // namespace

bool StepResult::finite() const { return std::isfinite(loss) && std::isfinite(grad_norm); }

TrainStep::TrainStep(const Config& config, Engine& engine, Ops& ops, Communicator& communicator)
    : config_(config),
      engine_(engine),
      ops_(ops),
      communicator_(communicator),
      micro_batches_(config.train.micro_batches(communicator.size())),
      pass_{ops, engine.scratch(), communicator, PassKind::train,
            1.0 / static_cast<double>(micro_batches_ * communicator.size())},
      start_(ops.make_repeated_work()),
      update_(ops.make_repeated_work()) {
  for (auto& work : micro_batch_) work = ops.make_repeated_work();
  for (auto& sums : sums_) sums = ops.memory().make_snapshot(engine.sums().all_S.bytes());
}

void TrainStep::run(const NextBatch& next_batch, int64_t step) {
  GPTMOE_CHECK(asked_ - reported_ <= kAhead, asked_ - reported_, " steps without a report");
  const double learning_rate =
      learning_rate_at(step, config_.schedule, config_.optimizer.learning_rate, config_.train.steps);
  engine_.adamw().set_step(ops_.memory(), learning_rate, step + 1);
  start_->run([this] { start(); });
  for (int64_t m = 0; m < micro_batches_; ++m) {
    load(next_batch);
    recurring(place(m)).run([&] { micro_batch(place(m)); });
  }
  update_->run([this] { measure(), update(); });
  sums_[static_cast<size_t>(asked_++ % (kAhead + 1))]->take(engine_.sums().all_S);
}

StepResult TrainStep::report() {
  GPTMOE_CHECK(reported_ < asked_, "no step to report");
  Snapshot& sums = *sums_[static_cast<size_t>(reported_++ % (kAhead + 1))];
  return summarize(config_, engine_.sums().router_LW, sums.values(), micro_batches_ * communicator_.size());
}

void TrainStep::explain(const NextBatch& same_batches, int64_t step, World& world) {
  engine_.data_parallel().reduce_whole(true);
  start();
  for (int64_t m = 0; m < micro_batches_; ++m) {
    load(same_batches);
    micro_batch(place(m));
    agree(world, [&] { require_finite_micro_batch(engine_, ops_, step, m); });  // the next one needs every rank
  }
  measure();
  agree(world, [&] {
    require_finite_gradients(engine_, ops_, step);
    // Not the run's numbers: it may go on where it was saved.
    throw Failure(text("the loss or the gradient was not finite at step ", step + 1,
                       ", but is when the step is computed again: a router's state that has moved since, or faulty "
                       "hardware, may be why. No parameter was changed by this step; --resume goes on from the last "
                       "checkpoint"));
  });
}

void TrainStep::start() {
  ops_.zero(engine_.gpt().params().grads());
  ops_.zero(engine_.sums().all_S);
}

void TrainStep::load(const NextBatch& next_batch) {
  next_batch(engine_.batch_tokens_BT(), engine_.batch_targets_BT());
  engine_.upload_batch();
}

// Work without collectives is the same wherever it comes in a step.
RepeatedWork& TrainStep::recurring(Place place) {
  const bool gathers = place.first && engine_.data_parallel().shards_optimizer();
  const bool reduces = place.last && communicator_.size() > 1;
  return *micro_batch_[2 * gathers + reduces];
}

void TrainStep::micro_batch(Place place) {
  const Activations& a = engine_.activations();
  const StepSums& sums = engine_.sums();
  const double loss_scale = 1.0 / static_cast<double>(config_.train.global_batch_size * config_.train.sequence_length);
  DataParallel& ranks = engine_.data_parallel();
  Pass pass = pass_;
  if (communicator_.size() > 1 && place.first) pass.gatherer = &ranks, ranks.gather(pass, engine_.gpt().params());
  if (communicator_.size() > 1 && place.last) pass.reducer = &ranks;
  engine_.gpt().forward(pass, a);
  engine_.gpt().loss_and_backward(pass, a, loss_scale);
  if (pass.reducer) ranks.finish_reductions(pass);
  ops_.accumulate_sum(sums.loss_1, a.losses_N);
  if (sums.router_LW.present()) ops_.residual_forward(sums.router_LW, sums.router_LW, a.router_stats_LW);
}

void TrainStep::measure() {
  const StepSums& sums = engine_.sums();
  communicator_.all_reduce(sums.all_S, Traffic::reports);
  engine_.adamw().measure_norm(pass_, engine_.gpt().params(), sums.squared_norm_1);
}

void TrainStep::update() {
  const StepSums& sums = engine_.sums();
  engine_.adamw().update(pass_, engine_.gpt().params(), sums.squared_norm_1, sums.loss_1);
  engine_.gpt().end_step(pass_);
}

void TrainStep::gather_weights() {
  if (communicator_.size() == 1) return;
  DataParallel& ranks = engine_.data_parallel();
  ranks.gather(pass_, engine_.gpt().params());
  ranks.await_all(pass_, engine_.gpt().params());
}

}  // namespace gptmoe
