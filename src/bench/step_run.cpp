#include "bench/step_run.h"

#include "base/rng.h"
#include "engine/backend.h"
#include "engine/memory_check.h"

namespace gptmoe {
namespace {

void fill_random(const Tensor& ids, int64_t vocab_size, uint64_t stream) {
  const Rng rng(1, stream);
  for (int64_t i = 0; i < ids.count(); ++i)
    ids.as<int32_t>()[i] = static_cast<int32_t>(rng.below(static_cast<uint64_t>(i), static_cast<uint64_t>(vocab_size)));
}

}  // namespace

StepRun::StepRun(const Variant& variant)
    : variant_(variant),
      ops_(make_backend(variant.config, variant.hopper)),
      communicator_(make_single_communicator()),
      engine_(variant.config, Purpose::train, variant.config.train.micro_batch_size,
              variant.config.train.sequence_length, *ops_),
      timer_(*ops_, engine_.gpt().live_share()),
      timed_ops_(ops_->observed_by(timer_)) {
  require_room(variant.config, engine_, *ops_, ops_->memory());
  engine_.commit(*ops_);
  engine_.gpt().initialize(ops_->memory(), static_cast<uint64_t>(variant.config.seed));
  steps_.emplace(variant_.config, engine_, *ops_, *communicator_);
  timed_steps_.emplace(variant_.config, engine_, timed_ops_, *communicator_);
}

void StepRun::time_round(int64_t steps) {
  ceilings_.push_back(measure_ceilings(*ops_));
  seconds_.push_back(train(steps));
}

void StepRun::account_round(int64_t steps) {
  StepAccount account;
  account.step_seconds = train(*timed_steps_, timed_ops_, steps);
  account.ops = timer_.take_totals();
  for (auto& [op, total] : account.ops) {
    total.calls /= steps;
    for (double* sum : {&total.seconds, &total.flops, &total.bytes}) *sum /= static_cast<double>(steps);
    account.ops_seconds += total.seconds;
  }
  accounts_.push_back(std::move(account));
}

double StepRun::train(StepQueue& queue, Ops& ops, int64_t steps) {
  const NextBatch next_batch = [&](const Tensor& inputs, const Tensor& targets) {
    fill_random(inputs, variant_.config.model.vocab_size, stream_++);
    fill_random(targets, variant_.config.model.vocab_size, stream_++);
  };
  const auto all = [&] {
    for (int64_t i = 0; i < steps; ++i, ++step_) {  // queues one step ahead of the reports, as a run does
      queue.ask(next_batch, step_);
      if (i > 0) queue.report();
    }
    queue.report();
  };
  return seconds_of(ops, all) / static_cast<double>(steps);
}

}  // namespace gptmoe
