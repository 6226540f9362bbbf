#include "train/step_log.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/resident_bytes.h"
#include "engine/schedule.h"

namespace gptmoe {

StepLog::StepLog(const Config& config, const Engine& engine, const Communicator& communicator, double matrix_rate,
                 MetricsFile* metrics, bool on_host)
    : config_(config),
      engine_(engine),
      communicator_(communicator),
      matrix_rate_(matrix_rate),
      metrics_(metrics),
      on_host_(on_host) {}

void StepLog::count(double seconds) {
  tokens_ += config_.train.tokens_per_step();
  ++steps_;
  seconds_ += seconds;
}

void StepLog::write(const Progress& progress, const StepResult& result) {
  const TrainConfig& t = config_.train;
  const double lr = learning_rate_at(progress.step - 1, config_.schedule, config_.optimizer.learning_rate, t.steps);
  const double rate = static_cast<double>(tokens_) / seconds_;
  const double mfu = rate * (engine_.forward_flops_per_token() + engine_.backward_flops_per_token()) / matrix_rate_;
  if (metrics_) {
    const int64_t memory = on_host_ ? resident_bytes() : engine_.total_bytes();
    metrics_->train(progress, result, lr, {rate, mfu, memory, communication()});
  }
  tokens_ = steps_ = 0;
  seconds_ = 0;

  const double eta = static_cast<double>((t.steps - progress.step) * t.tokens_per_step()) / rate;
  const int64_t skipped = progress.skipped_steps.value_or(0);
  char line[256];
  std::snprintf(line, sizeof line,
                "step %lld/%lld  loss %.4f  ppl %.2f  lr %.2e  |g| %.2f  %s tok/s  %.0f%% of peak  eta %s%s",
                static_cast<long long>(progress.step), static_cast<long long>(t.steps), result.loss,
                std::exp(result.loss), lr, result.grad_norm, metric_count(rate).c_str(), 100 * mfu,
                clock_time(eta).c_str(), skipped > 0 ? text("  ", skipped, " skipped").c_str() : "");
  live_.show(line);
  const int64_t stride = std::max<int64_t>(1, t.steps / 100);
  if (!live_.live() && (progress.step % stride == 0 || progress.step == t.steps)) {
    std::printf("%s\n", line);
    std::fflush(stdout);
  }
}

// The traffic of a step, averaged over the steps since the last row.
std::optional<Communication> StepLog::communication() {
  if (communicator_.size() == 1) return std::nullopt;
  const PlannedTraffic& planned = engine_.traffic();
  const int64_t micro_batches = config_.train.micro_batches(communicator_.size());
  const TrafficCosts costs = communicator_.costs();
  Communication out{planned.step, on_host_};
  for (size_t i = 0; i < costs.size(); ++i) {
    out.step[i].calls += micro_batches * planned.micro_batch[i].calls;
    out.step[i].bytes += micro_batches * planned.micro_batch[i].bytes;
    out.step[i].seconds = (costs[i].seconds - reported_costs_[i].seconds) / static_cast<double>(steps_);
  }
  reported_costs_ = costs;
  return out;
}

void StepLog::skipped(int64_t step, const StepResult& result) {
  live_.clear();
  std::printf("step %lld  skipped: loss %.4f, gradient norm %.2f\n", static_cast<long long>(step), result.loss,
              result.grad_norm);
  std::fflush(stdout);
}

}  // namespace gptmoe
