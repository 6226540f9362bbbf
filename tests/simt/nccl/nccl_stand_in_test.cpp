// How the NCCL communicator uses streams and NCCL, and its messages when they fail.
#include "simt/nccl/nccl_stand_in.h"

#include <gtest/gtest.h>

#include "cuda/device_tensor.h"
#include "distributed/nccl/nccl_communicator.h"
#include "distributed/nccl/nccl_library.h"
#include "simt/device_memory.h"
#include "simt/stream.h"
#include "support/error_message.h"

namespace gptmoe {
namespace {

constexpr Traffic kAny = Traffic::reports;
using simt::NcclCall;

class NcclStandIn : public ::testing::Test {
 protected:
  NcclStandIn() {
    simt::set_nccl_world(nullptr);
    simt::nccl_calls.clear();
  }
  ~NcclStandIn() override { simt::nccl_async_error = ncclSuccess; }

  std::unique_ptr<World> world_ = make_single_world();
  std::unique_ptr<Ops> ops_ = make_cuda_ops(DType::f32);
  std::unique_ptr<Communicator> nccl_ = make_nccl_communicator(*world_, *ops_);
  DeviceTensor x_{*ops_, DType::f32, {6}, {1, 2, 3, 4, 5, 6}};
};

TEST_F(NcclStandIn, AsksForCollectivesInOrderWithTheirSizes) {
  const DeviceTensor half(*ops_, DType::bf16, {4}, {1, 2, 3, 4});
  nccl_->start_reduce_scatter(x_, kAny);
  nccl_->start_all_gather(half, kAny);
  const auto third = nccl_->start_all_reduce(half, kAny);
  const auto last = nccl_->start_broadcast(x_, 0, kAny);
  ops_->zero(half.rows(3, 0));
  EXPECT_EQ(simt::nccl_calls, std::vector<NcclCall>{});
  nccl_->wait(third);
  EXPECT_EQ(simt::nccl_calls, (std::vector<NcclCall>{{"ncclReduceScatter", 6, ncclFloat32},
                                                     {"ncclAllGather", 4, ncclBfloat16},
                                                     {"ncclAllReduce", 4, ncclBfloat16}}));
  nccl_->wait(last);
  nccl_->wait(third);
  ASSERT_EQ(simt::nccl_calls.size(), 4u);
  EXPECT_EQ(simt::nccl_calls.back(), (NcclCall{"ncclBroadcast", 6, ncclFloat32}));
}

TEST_F(NcclStandIn, ComputesWhileCollectivesAreUnderWayAndReusesEvents) {
  for (int round = 0; round < 3; ++round) {
    std::vector<Communicator::Ticket> tickets;
    for (int i = 0; i < 20; ++i) tickets.push_back(nccl_->start_all_reduce(x_, kAny));
    EXPECT_EQ(simt::nccl_calls.size(), 0u);
    for (size_t i = 0; i < tickets.size(); ++i) {
      nccl_->wait(tickets[i]);
      EXPECT_EQ(simt::nccl_calls.size(), i + 1);
    }
    simt::nccl_calls.clear();
  }
}

TEST_F(NcclStandIn, RefusesTwoCommunicatorsAtOnce) {
  const auto other_ops = make_cuda_ops(DType::f32);
  const auto other = make_nccl_communicator(*world_, *other_ops);
  const DeviceTensor y(*other_ops, DType::f32, {6});
  nccl_->wait(nccl_->start_all_reduce(x_, kAny));
  const std::string line = message<DeviceError>([&] { other->start_all_reduce(y, kAny); });
  EXPECT_NE(line.find("another communicator's collectives are under way"), std::string::npos) << line;
  ops_->synchronize();
  other->wait(other->start_all_reduce(y, kAny));
  other_ops->synchronize();
  EXPECT_EQ(simt::nccl_calls.size(), 2u);
}

TEST_F(NcclStandIn, RefusesCollectivesThatDoNotWaitForTheirInput) {
  cudaStream_t stream = nullptr, compute = nullptr;
  cudaEvent_t event = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&compute, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  ncclComm_t comm = nullptr;
  ncclUniqueId id{};
  NCCL(ncclGetUniqueId)(&id);
  ASSERT_EQ(NCCL(ncclCommInitRankConfig)(&comm, 1, id, 0, nullptr), ncclSuccess);
  void* data = static_cast<const Tensor&>(x_).data();
  const auto reduce = [&] { return NCCL(ncclAllReduce)(data, data, 6, ncclFloat32, ncclSum, comm, stream); };
  EXPECT_EQ(reduce(), ncclInvalidUsage);
  cudaEventRecord(event, compute);
  cudaStreamWaitEvent(stream, event, 0);
  EXPECT_EQ(reduce(), ncclSuccess);
  cudaMemsetAsync(data, 0, 4, compute);
  EXPECT_EQ(reduce(), ncclInvalidUsage) << "it would read what is still being written";
  cudaEventRecord(event, compute);
  cudaStreamWaitEvent(stream, event, 0);
  EXPECT_EQ(reduce(), ncclSuccess);
  NCCL(ncclCommDestroy)(comm);
  cudaStreamDestroy(stream);
  cudaStreamDestroy(compute);
  cudaEventDestroy(event);
}

// Recorded work starts its own collectives and waits for them.
TEST_F(NcclStandIn, RecordedWorkUsesOnlyItsOwnTickets) {
  Communicator::Ticket ticket = 0;
  const auto started = ops_->make_repeated_work();
  started->run([&] { ticket = nccl_->start_all_reduce(x_, kAny); });
  nccl_->wait(ticket);
  EXPECT_THROW(started->run([&] { nccl_->start_all_reduce(x_, kAny); }), DeviceError) << "not waited for";
  ops_->synchronize();

  const auto nccl = make_nccl_communicator(*world_, *ops_);
  const auto waits = ops_->make_repeated_work();
  ticket = nccl->start_all_reduce(x_, kAny);
  waits->run([&] { ops_->zero(x_); });
  EXPECT_THROW(waits->run([&] { nccl->wait(ticket); }), DeviceError) << "started outside";
}

TEST_F(NcclStandIn, ReplaysWhatWasRecorded) {
  const auto repeated = ops_->make_repeated_work();
  const auto work = [&] {
    const auto first = nccl_->start_reduce_scatter(x_, kAny);
    const auto second = nccl_->start_all_gather(x_, kAny);
    nccl_->wait(first);
    nccl_->wait(second);
  };
  std::vector<NcclCall> expected;
  for (int run = 0; run < 3; ++run) {
    repeated->run(work);
    for (const char* name : {"ncclReduceScatter", "ncclAllGather"}) expected.push_back({name, 6, ncclFloat32});
    EXPECT_EQ(simt::nccl_calls, expected);
  }
}

TEST_F(NcclStandIn, ReportsAsynchronousErrors) {
  nccl_->check();
  simt::nccl_async_error = ncclInProgress;
  nccl_->check();
  simt::nccl_async_error = ncclRemoteError;
  const std::string line = message<DeviceError>([&] { nccl_->check(); });
  EXPECT_TRUE(line.starts_with("NCCL: a collective in progress (nccl_communicator.cpp:")) << line;
  EXPECT_NE(line.find("): an error of the simulated NCCL"), std::string::npos) << line;
  EXPECT_TRUE(line.ends_with("; NCCL_DEBUG=INFO in the environment makes it say more")) << line;
}

TEST_F(NcclStandIn, NamesTheCallThatFails) {
  simt::guard_device_memory(true);
  std::vector<float> host(6);
  const std::string line = message<DeviceError>([&] { nccl_->all_reduce({host.data(), DType::f32, {6}}, kAny); });
  simt::guard_device_memory(false);
  EXPECT_TRUE(line.starts_with("NCCL: NCCL(ncclAllReduce)(")) << line;
  EXPECT_NE(line.find("the buffer is not in the GPU's memory"), std::string::npos) << line;
}

// When an exception unwinds the stack, no rank waits for the others.
TEST_F(NcclStandIn, IsAbortedByErrors) {
  const int destroyed = simt::nccl_destroyed, aborted = simt::nccl_aborted;
  make_nccl_communicator(*world_, *ops_);
  EXPECT_EQ(simt::nccl_destroyed, destroyed + 1);
  try {
    const auto nccl = make_nccl_communicator(*world_, *ops_);
    nccl->start_all_reduce(x_, kAny);
    throw Failure("of something else");
  } catch (const Failure&) {
  }
  EXPECT_EQ(simt::nccl_aborted, aborted + 1);
  EXPECT_EQ(simt::nccl_destroyed, destroyed + 1);
  EXPECT_EQ(simt::nccl_calls.size(), 0u);
}

}  // namespace
}  // namespace gptmoe
