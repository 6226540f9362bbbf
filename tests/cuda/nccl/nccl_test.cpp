// Collectives between GPUs, on as many ranks as this program was started with.
#include <gtest/gtest.h>

#include <cmath>

#include "cuda/device.h"
#include "cuda/device_tensor.h"
#include "cuda/rank_world.h"
#include "distributed/nccl/nccl_communicator.h"

namespace gptmoe {
namespace {

using Numbers = std::vector<float>;
constexpr Traffic kAny = Traffic::reports;

class Nccl : public ::testing::Test {
 protected:
  // A rank's initial values: whole numbers so small that bf16 holds all their sums exactly.
  float mine(int64_t i) const { return of(rank_, i); }
  static float of(int rank, int64_t i) { return static_cast<float>((rank + 1) * (i % 7 - 3)); }
  double sum(int64_t i) const {
    double total = 0;
    for (int rank = 0; rank < size_; ++rank) total += of(rank, i);
    return total;
  }
  static constexpr int64_t kCount = 840;  // divisible by every number of ranks up to 8
  Numbers numbers() const {
    Numbers all(kCount);
    for (int64_t i = 0; i < kCount; ++i) all[static_cast<size_t>(i)] = mine(i);
    return all;
  }
  bool in_part(int rank, int64_t i) const { return i / (kCount / size_) == rank; }

  GuardedDeviceMemory guard_;
  World& world_ = rank_world();
  int rank_ = world_.rank(), size_ = world_.size();
  std::unique_ptr<Ops> ops_ = make_cuda_ops(DType::bf16);
  std::unique_ptr<Communicator> nccl_ = make_nccl_communicator(world_, *ops_);
};

TEST_F(Nccl, CollectivesWorkInPlace) {
  EXPECT_EQ(nccl_->rank(), rank_);
  EXPECT_EQ(nccl_->size(), size_);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const DeviceTensor reduced(*ops_, dtype, {kCount}, numbers()), scattered(*ops_, dtype, {kCount}, numbers()),
        gathered(*ops_, dtype, {kCount}, numbers()), sent(*ops_, dtype, {kCount}, numbers());
    nccl_->all_reduce(reduced, kAny);
    nccl_->start_reduce_scatter(scattered, kAny);
    nccl_->start_all_gather(gathered, kAny);
    nccl_->wait(nccl_->start_broadcast(sent, size_ - 1, kAny));
    const auto sums = reduced.values(), parts = scattered.values(), all = gathered.values(), last = sent.values();
    for (int64_t i = 0; i < kCount; ++i) {
      const auto at = static_cast<size_t>(i);
      ASSERT_EQ(sums[at], sum(i)) << i;
      ASSERT_TRUE(!in_part(rank_, i) || parts[at] == sum(i)) << i;
      ASSERT_EQ(all[at], of(static_cast<int>(i / (kCount / size_)), i)) << i;
      ASSERT_EQ(last[at], of(size_ - 1, i)) << i;
    }
  }
}

TEST_F(Nccl, IntegersAreGatheredAndBroadcastExactly) {
  std::vector<int32_t> before(kCount), gathered(kCount);
  for (int64_t i = 0; i < kCount; ++i) {
    const auto at = static_cast<size_t>(i);
    before[at] = static_cast<int32_t>(1 << 24) + 1 + rank_;  // not exact as a float
    gathered[at] = (1 << 24) + 1 + static_cast<int32_t>(i / (kCount / size_));
  }
  const DeviceTensor narrow(*ops_, before), wide(*ops_, before);
  const Tensor pairs(static_cast<const Tensor&>(wide).data(), DType::i64, {kCount / 2});
  nccl_->start_all_gather(narrow, kAny);
  nccl_->wait(nccl_->start_broadcast(pairs, 0, kAny));
  EXPECT_EQ(narrow.ids(), gathered);
  EXPECT_EQ(wide.ids(), std::vector<int32_t>(kCount, (1 << 24) + 1));
  EXPECT_THROW(nccl_->start_all_reduce(narrow, kAny), BugError);
  EXPECT_THROW(nccl_->start_reduce_scatter(pairs, kAny), BugError);
}

TEST_F(Nccl, CountsCallsAndBytesOfEachKindOfTraffic) {
  const DeviceTensor x(*ops_, DType::f32, {kCount}, numbers());
  nccl_->all_reduce(x, Traffic::gradients);
  nccl_->wait(nccl_->start_all_gather(x, Traffic::weights));
  nccl_->wait(nccl_->start_reduce_scatter(x, Traffic::gradients));
  const TrafficCosts costs = nccl_->costs();
  const auto& gradients = costs[static_cast<size_t>(Traffic::gradients)];
  const auto& weights = costs[static_cast<size_t>(Traffic::weights)];
  EXPECT_EQ(gradients.calls, 2);
  EXPECT_EQ(gradients.bytes, all_reduce_bytes(4 * kCount, size_) + reduce_scatter_bytes(4 * kCount, size_));
  EXPECT_EQ(weights.calls, 1);
  EXPECT_EQ(weights.bytes, all_gather_bytes(4 * kCount, size_));
  nccl_->check();
}

// Work like that of a training step: gradients in parts, each reduced while the next one is computed, and then work
// that depends on all parts.
class Step {
 public:
  Step(Ops& ops, Communicator& communicator, DType wire, const Numbers& start)
      : ops_(ops),
        communicator_(communicator),
        count_(std::ssize(start)),
        weights_(ops, DType::f32, {count_}, start),
        grads_(ops, DType::f32, {kParts * count_}),
        sent_(ops, wire, {kParts * count_}),
        total_(ops, DType::f32, {count_}),
        norm_(ops, DType::f32, {1}) {}

  void run() {
    std::vector<Communicator::Ticket> tickets;
    for (int64_t part = 0; part < kParts; ++part) {
      const Tensor grad = of(grads_, part), sent = of(sent_, part);
      ops_.residual_forward(grad, weights_, weights_);
      for (int64_t i = 0; i < part; ++i) ops_.residual_forward(grad, grad, weights_);
      static_cast<const Tensor&>(sent_).dtype() == DType::f32 ? ops_.copy(sent, grad) : ops_.cast(sent, grad);
      tickets.push_back(part % 2 ? communicator_.start_all_reduce(sent, Traffic::gradients)
                                 : communicator_.start_reduce_scatter(sent, Traffic::gradients));
    }
    ops_.zero(total_);
    for (int64_t part = 0; part < kParts; ++part) {
      communicator_.wait(tickets[static_cast<size_t>(part)]);
      const Tensor sent = of(sent_, part), grad = of(grads_, part);
      static_cast<const Tensor&>(sent_).dtype() == DType::f32 ? ops_.copy(grad, sent) : ops_.cast(grad, sent);
      const int64_t mine = count_ / communicator_.size(), first = mine * communicator_.rank();
      ops_.residual_forward(total_.rows(first, mine), total_.rows(first, mine), grad.rows(first, mine));
    }
    communicator_.wait(communicator_.start_all_gather(total_, Traffic::weights));
    ops_.residual_forward(weights_, weights_, total_);
    ops_.squared_norm(norm_, weights_);
    communicator_.all_reduce(norm_, Traffic::reports);
  }

  std::vector<double> weights() const { return weights_.values(); }
  double norm() const { return norm_.values().front(); }

 private:
  static constexpr int64_t kParts = 5;
  Tensor of(const DeviceTensor& all, int64_t part) const { return all.rows(part * count_, count_); }

  Ops& ops_;
  Communicator& communicator_;
  int64_t count_;
  DeviceTensor weights_, grads_, sent_, total_, norm_;
};

// The weights after `runs` runs of Step. All ranks start with the same numbers, so their weights agree.
std::vector<double> expected_weights(const Numbers& start, int size, int runs) {
  std::vector<double> weights(start.begin(), start.end());
  for (double& weight : weights)
    for (int run = 0; run < runs; ++run) weight += size * (2 + 3 + 4 + 5 + 6) * weight;
  return weights;
}

TEST_F(Nccl, ReplayedGraphsGiveTheSameResults) {
  Numbers start(kCount);
  for (size_t i = 0; i < start.size(); ++i) start[i] = static_cast<float>(i % 9) / 4 - 1;  // their sums are exact
  for (const DType wire : {DType::f32, DType::bf16}) {
    const auto ops = make_cuda_ops(DType::f32, {.graphs = true}),
               plain_ops = make_cuda_ops(DType::f32, {.graphs = false});
    const auto nccl = make_nccl_communicator(world_, *ops), plain = make_nccl_communicator(world_, *plain_ops);
    Step recorded(*ops, *nccl, wire, start), done(*plain_ops, *plain, wire, start);
    const auto repeated = ops->make_repeated_work();
    for (int run = 1; run <= 3; ++run) {
      // One communicator at a time: GPUs may run the collectives of two communicators in different orders, and wait
      // forever.
      repeated->run([&] { recorded.run(); });
      ops->synchronize();
      done.run();
      plain_ops->synchronize();
      ASSERT_EQ(recorded.weights(), done.weights()) << "run " << run;
      ASSERT_EQ(recorded.norm(), done.norm()) << "run " << run;
      if (wire == DType::f32) {
        ASSERT_EQ(recorded.weights(), expected_weights(start, size_, run)) << "run " << run;
      }
      double norm = 0;
      for (const double weight : recorded.weights()) norm += weight * weight;
      EXPECT_NEAR(recorded.norm() / (size_ * norm), 1, 1e-5);
    }
    EXPECT_EQ(nccl->costs()[static_cast<size_t>(Traffic::gradients)].calls, 2 * 5) << "replays are not counted";
    EXPECT_EQ(plain->costs()[static_cast<size_t>(Traffic::gradients)].calls, 3 * 5);
  }
}

// Even rounded sums have the same bits on every rank and in every run.
TEST_F(Nccl, SumsHaveTheSameBitsEverywhere) {
  Numbers values(1 << 18);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = std::sin(static_cast<float>(i) + 0.1f * static_cast<float>(rank_));
  for (const DType dtype : {DType::f32, DType::bf16}) {
    std::vector<std::vector<double>> sums;
    for (int run = 0; run < 2; ++run) {
      const DeviceTensor x(*ops_, dtype, {std::ssize(values)}, values);
      nccl_->all_reduce(x, kAny);
      sums.push_back(x.values());
    }
    EXPECT_EQ(sums[0], sums[1]);
    const std::string bytes(reinterpret_cast<const char*>(sums[0].data()), sums[0].size() * sizeof(double));
    for (const std::string& other : world_.all_gather(bytes)) EXPECT_TRUE(other == bytes);
  }
}

}  // namespace
}  // namespace gptmoe
