#include "engine/scaling.h"

#include <algorithm>

#include "engine/config_for_rank.h"
#include "engine/train_step.h"
#include "kernels/plan_ops.h"

namespace gptmoe {
namespace {

// Keeps two clocks: one for the matrix products, read off the FLOP counter, and one for the collectives.
class ScheduledCommunicator final : public Communicator {
 public:
  ScheduledCommunicator(const FlopCounter& counter, int size, const RankSpeed& speed)
      : counter_(counter), size_(size), speed_(speed) {}

  int rank() const override { return 0; }
  int size() const override { return size_; }
  Ticket start_all_reduce(const Tensor& x, Traffic traffic) override {
    return start(traffic, all_reduce_bytes(x.bytes(), size_));
  }
  Ticket start_reduce_scatter(const Tensor& x, Traffic traffic) override {
    return start(traffic, reduce_scatter_bytes(x.bytes(), size_));
  }
  Ticket start_all_gather(const Tensor& x, Traffic traffic) override {
    return start(traffic, all_gather_bytes(x.bytes(), size_));
  }
  Ticket start_broadcast(const Tensor& x, int, Traffic traffic) override { return start(traffic, x.bytes()); }
  void wait(Ticket ticket) override {
    const Collective& collective = collectives_.at(static_cast<size_t>(ticket));
    const double stall = std::max(0.0, collective.done - now());
    stalled_ += stall;
    costs_[static_cast<size_t>(collective.traffic)].seconds += stall;
  }
  TrafficCosts costs() const override { return costs_; }

 private:
  struct Collective {
    Traffic traffic;
    double done;
  };
  double now() const { return counter_.flops() / speed_.flops + stalled_; }
  Ticket start(Traffic traffic, int64_t bytes) {
    TrafficCost& cost = costs_[static_cast<size_t>(traffic)];
    ++cost.calls;
    cost.bytes += bytes;
    const double begin = collectives_.empty() ? now() : std::max(now(), collectives_.back().done);
    const double seconds = size_ > 1 ? speed_.latency + static_cast<double>(bytes) / speed_.link_bytes : 0;
    collectives_.push_back({traffic, begin + seconds});
    return std::ssize(collectives_) - 1;
  }

  const FlopCounter& counter_;
  int size_;
  RankSpeed speed_;
  double stalled_ = 0;
  std::vector<Collective> collectives_;
  TrafficCosts costs_;
};

// Moments and master are read and written; gradients are read; the layers' copy of the weights is written.
double optimizer_bytes(Engine& engine, const Ops& ops) {
  const int64_t stat = dtype_bytes(ops.statistics_dtype()), real = dtype_bytes(ops.compute_dtype());
  const int64_t copy = ops.compute_dtype() == ops.statistics_dtype() ? 0 : real;
  return static_cast<double>(engine.adamw().partition().count() * (7 * stat + copy));
}

void add(TrafficCosts& sum, const TrafficCosts& costs, double times) {
  for (size_t i = 0; i < sum.size(); ++i) {
    sum[i].calls += static_cast<int64_t>(times) * costs[i].calls;
    sum[i].bytes += static_cast<int64_t>(times) * costs[i].bytes;
    sum[i].seconds += times * costs[i].seconds;
  }
}

}  // namespace

double StepTime::in_all() const {
  double seconds = products + optimizer;
  for (const TrafficCost& cost : communication) seconds += cost.seconds;
  return seconds;
}

StepTime predict_step(const Config& config, int ranks, const Ops& planned, const RankSpeed& speed) {
  const Config own = config_for_rank(config, ranks);
  Engine engine(own, Purpose::train, own.train.micro_batch_size, own.train.sequence_length, planned, {0, ranks});
  const int64_t micro_batches = own.train.micro_batches(ranks);
  StepTime time;
  FlopCounter counter;
  Ops ops = make_plan_ops(planned).observed_by(counter);
  const auto add_micro_batch = [&](bool first, bool last, double times) {
    counter.reset();
    ScheduledCommunicator communicator(counter, ranks, speed);
    TrainStep step(own, engine, ops, communicator);
    step.micro_batch(step.micro_batch_part(first, last));
    if (last) step.measure(), step.update();
    time.products += times * counter.flops() / speed.flops;
    add(time.communication, communicator.costs(), times);
  };
  if (micro_batches == 1) {
    add_micro_batch(true, true, 1);
  } else {
    add_micro_batch(true, false, 1);
    add_micro_batch(false, false, static_cast<double>(micro_batches - 2));
    add_micro_batch(false, true, 1);
  }
  time.optimizer = optimizer_bytes(engine, ops) / speed.memory_bytes;
  return time;
}

}  // namespace gptmoe
