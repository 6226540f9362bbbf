#include "engine/step_queue.h"

namespace gptmoe {

StepQueue::StepQueue(const Config& config, Engine& engine, Ops& ops, Communicator& communicator)
    : config_(config),
      micro_batches_(config.train.micro_batches(communicator.size()) * communicator.size()),
      train_step_(config, engine, ops, communicator) {
  if (config.train.skip_spikes > 0) spikes_.emplace(config.train);
  for (auto& sums : sums_) {
    sums = ops.memory().make_snapshot(engine.sums().all_S.bytes());
    default_norms_.emplace_back(engine.gpt().state(), ops.memory());
  }
}

void StepQueue::ask(const NextBatch& next_batch, int64_t step) {
  GPTMOE_CHECK(asked_ - reported_ <= kAhead, asked_ - reported_, " steps without a report");
  const auto slot = static_cast<size_t>(asked_++ % (kAhead + 1));
  const auto carry_out = [this](const StepPart& part, const std::function<void()>& work) {
    auto& repeated = parts_[part.name][2 * part.gathers + part.reduces];
    if (!repeated) repeated = train_step_.ops().make_repeated_work();
    repeated->run(work);
  };
  train_step_.run(next_batch, step, carry_out, [this, slot] { return skipped_[slot] = is_spike(slot); });
  if (!spikes_) sums_[slot]->take(train_step_.engine().sums().all_S);
  const int64_t every = config_.log.every;  // only logged steps report the norms
  if (step + 1 == config_.train.steps || (every > 0 && (step + 1) % every == 0)) default_norms_[slot].take();
}

bool StepQueue::is_spike(size_t slot) {
  if (!spikes_) return false;
  sums_[slot]->take(train_step_.engine().sums().all_S);
  const StepResult measured = step_result(config_, train_step_.engine().sums(), sums_[slot]->values(), micro_batches_);
  return spikes_->skips(measured.loss, measured.grad_norm);
}

StepResult StepQueue::report() {
  GPTMOE_CHECK(reported_ < asked_, "no step to report");
  const auto slot = static_cast<size_t>(reported_++ % (kAhead + 1));
  StepResult result = step_result(config_, train_step_.engine().sums(), sums_[slot]->values(), micro_batches_);
  result.default_norms = default_norms_[slot].norms();
  result.skipped = skipped_[slot];
  return result;
}

}  // namespace gptmoe
