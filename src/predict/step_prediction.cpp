#include "predict/step_prediction.h"

#include <algorithm>
#include <numeric>

#include "engine/config_for_rank.h"
#include "engine/train_step.h"
#include "kernels/plan_ops.h"

namespace gptmoe {
namespace {

// The clock of the ops. It adds up the calls of one part of a step, which a step runs `times` times.
class OpClock final : public OpObserver {
 public:
  OpClock(CallTimes& calls, StepPrediction& step) : calls_(calls), step_(step) {}
  void begin(double times) { now_ = 0, times_ = times; }
  double now() const { return now_; }
  void before(const OpCall& call) override {
    const double seconds = calls_.take(call, times_);
    now_ += seconds;
    step_.compute[static_cast<size_t>(call.part())] += times_ * seconds;
  }

 private:
  CallTimes& calls_;
  StepPrediction& step_;
  double now_ = 0, times_ = 0;
};

// Keeps a clock for the collectives in addition to the clock of the ops.
class ScheduledCommunicator final : public Communicator {
 public:
  ScheduledCommunicator(const OpClock& ops, const Network& network, CollectiveTotals& totals, double times)
      : ops_(ops), network_(network), totals_(totals), times_(times) {}

  int rank() const override { return 0; }
  int size() const override { return network_.ranks; }
  Ticket start_all_reduce(const Tensor& x, Traffic traffic) override {
    return start(Collective::all_reduce, x, traffic, all_reduce_bytes(x.bytes(), size()));
  }
  Ticket start_reduce_scatter(const Tensor& x, Traffic traffic) override {
    return start(Collective::reduce_scatter, x, traffic, reduce_scatter_bytes(x.bytes(), size()));
  }
  Ticket start_all_gather(const Tensor& x, Traffic traffic) override {
    return start(Collective::all_gather, x, traffic, all_gather_bytes(x.bytes(), size()));
  }
  Ticket start_broadcast(const Tensor& x, int, Traffic traffic) override {
    return start(Collective::broadcast, x, traffic, x.bytes());
  }
  void wait(Ticket ticket) override {
    const Started& collective = started_.at(static_cast<size_t>(ticket));
    const double stall = std::max(0.0, collective.done - now());
    stalled_ += stall;
    costs_[static_cast<size_t>(collective.traffic)].seconds += stall;
  }
  TrafficCosts costs() const override { return costs_; }
  // The seconds in which collectives ran beside ops.
  double overlapped() const { return running_ - stalled_; }

 private:
  struct Started {
    Traffic traffic;
    double done;
  };
  double now() const { return ops_.now() + stalled_; }
  Ticket start(Collective collective, const Tensor& x, Traffic traffic, int64_t sent) {
    TrafficCost& cost = costs_[static_cast<size_t>(traffic)];
    ++cost.calls;
    cost.bytes += sent;
    const CollectiveTime time = collective_time(network_, collective, x.bytes());
    const double begin = started_.empty() ? now() : std::max(now(), started_.back().done);
    started_.push_back({traffic, begin + time.seconds});
    running_ += time.seconds;
    count(totals_[{traffic, collective}], x, time);
    return std::ssize(started_) - 1;
  }
  void count(CollectiveTotal& total, const Tensor& x, const CollectiveTime& time) const {
    total.calls += static_cast<int64_t>(times_);
    total.bytes += times_ * static_cast<double>(x.bytes());
    total.seconds += times_ * time.seconds;
    if (x.bytes() >= total.largest) total.algorithm = time.algorithm, total.largest = x.bytes();
  }

  const OpClock& ops_;
  const Network& network_;
  CollectiveTotals& totals_;
  double times_, stalled_ = 0, running_ = 0;
  std::vector<Started> started_;
  TrafficCosts costs_;
};

void add(TrafficCosts& sum, const TrafficCosts& costs, double times) {
  for (size_t i = 0; i < sum.size(); ++i) {
    sum[i].calls += static_cast<int64_t>(times) * costs[i].calls;
    sum[i].bytes += static_cast<int64_t>(times) * costs[i].bytes;
    sum[i].seconds += times * costs[i].seconds;
  }
}

}  // namespace

double FlatTimes::take(const OpCall& call, double) {
  const double bytes = call.part() == Part::optimizer ? call.bytes(live_share_) : 0;
  return call.flops(live_share_) / flops_ + bytes / memory_bytes_;
}

double StepPrediction::computing() const { return std::accumulate(compute.begin(), compute.end(), 0.0); }

double StepPrediction::waiting() const {
  double seconds = 0;
  for (const TrafficCost& cost : communication) seconds += cost.seconds;
  return seconds;
}

StepPrediction predict_step(const Config& config, const Ops& planned, CallTimes& times, const Network& network) {
  const Config own = config_for_rank(config, network.ranks);
  Engine engine(own, Purpose::train, own.train.micro_batch_size, own.train.sequence_length, planned,
                {0, network.ranks});
  StepPrediction prediction;
  OpClock clock(times, prediction);
  Ops ops = make_plan_ops(planned).observed_by(clock);
  const auto add_micro_batch = [&](bool first, bool last, double repeats) {
    clock.begin(repeats);
    ScheduledCommunicator communicator(clock, network, prediction.collectives, repeats);
    TrainStep step(own, engine, ops, communicator);
    if (first) step.begin();
    const double begun = clock.now();
    step.micro_batch(step.micro_batch_part(first, last));
    prediction.micro_batch = clock.now() - begun;
    if (last) step.measure(), step.update();
    add(prediction.communication, communicator.costs(), repeats);
    prediction.slowed += repeats * times.lost_to_collectives() * communicator.overlapped();
  };
  const int64_t micro_batches = prediction.micro_batches = own.train.micro_batches(network.ranks);
  add_micro_batch(true, micro_batches == 1, 1);
  if (micro_batches > 2) add_micro_batch(false, false, static_cast<double>(micro_batches - 2));
  if (micro_batches > 1) add_micro_batch(false, true, 1);
  return prediction;
}

}  // namespace gptmoe
