#include "distributed/nccl/nccl_communicator.h"

#include <deque>
#include <exception>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "distributed/nccl/nccl_check.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/stream.h"

namespace gptmoe {
namespace {

ncclDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::f32: return ncclFloat32;
    case DType::f64: return ncclFloat64;
    case DType::bf16: return ncclBfloat16;
    case DType::i32: return ncclInt32;
    case DType::i64: return ncclInt64;
    case DType::u8: return ncclUint8;
  }
  return ncclUint8;
}

ncclDataType_t sum_type(const Tensor& x) {
  GPTMOE_CHECK(is_float(x.dtype()), "a sum of ", x.describe());
  return data_type(x.dtype());
}

struct Destroy {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
  void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
};
using Event = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, Destroy>;
using Stream = std::unique_ptr<std::remove_pointer_t<cudaStream_t>, Destroy>;

Event new_event() {
  cudaEvent_t event = nullptr;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return Event(event);
}

// NCCL's few blocks must not queue behind the blocks of matrix products that run at the same time.
Stream new_urgent_stream() {
  int least = 0, greatest = 0;
  CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  cudaStream_t stream = nullptr;
  CUDA_CHECK(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, greatest));
  return Stream(stream);
}

ncclUniqueId agree_on_id(World& world) {
  ncclUniqueId id{};
  if (world.is_root()) NCCL_CHECK(nullptr, NCCL(ncclGetUniqueId)(&id));
  const std::string bytes = world.from_root(std::string(id.internal, sizeof id.internal));
  GPTMOE_CHECK(bytes.size() == sizeof id.internal, bytes.size());
  bytes.copy(id.internal, sizeof id.internal);
  return id;
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(World& world, Ops& ops)
      : compute_(cuda::stream_of(ops)),
        rank_(world.rank()),
        size_(world.size()),
        unwinding_(std::uncaught_exceptions()) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 1;
    const ncclUniqueId id = agree_on_id(world);
    NCCL_CHECK(nullptr, NCCL(ncclCommInitRankConfig)(&nccl_, size_, id, rank_, &config));
  }
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  // While an exception unwinds the stack, the other ranks may be gone or may never reach this point, so nothing waits.
  ~NcclCommunicator() override {
    std::uncaught_exceptions() > unwinding_ ? NCCL(ncclCommAbort)(nccl_) : NCCL(ncclCommDestroy)(nccl_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  Ticket start_all_reduce(const Tensor& x, Traffic traffic) override {
    const ncclDataType_t type = sum_type(x);
    begin();
    NCCL_CHECK(nccl_, NCCL(ncclAllReduce)(x.data(), x.data(), count_of(x), type, ncclSum, nccl_, stream_.get()));
    return started(traffic, all_reduce_bytes(x.bytes(), size_));
  }
  Ticket start_reduce_scatter(const Tensor& x, Traffic traffic) override {
    const ncclDataType_t type = sum_type(x);
    const Tensor part = part_of(x);
    begin();
    NCCL_CHECK(nccl_,
               NCCL(ncclReduceScatter)(x.data(), part.data(), count_of(part), type, ncclSum, nccl_, stream_.get()));
    return started(traffic, reduce_scatter_bytes(x.bytes(), size_));
  }
  Ticket start_all_gather(const Tensor& x, Traffic traffic) override {
    const Tensor part = part_of(x);
    begin();
    NCCL_CHECK(nccl_,
               NCCL(ncclAllGather)(part.data(), x.data(), count_of(part), data_type(x.dtype()), nccl_, stream_.get()));
    return started(traffic, all_gather_bytes(x.bytes(), size_));
  }
  Ticket start_broadcast(const Tensor& x, int root, Traffic traffic) override {
    begin();
    NCCL_CHECK(nccl_,
               NCCL(ncclBroadcast)(x.data(), x.data(), count_of(x), data_type(x.dtype()), root, nccl_, stream_.get()));
    return started(traffic, root == rank_ && size_ > 1 ? x.bytes() : 0);
  }

  void wait(Ticket ticket) override {
    for (; !under_way_.empty() && under_way_.front().ticket <= ticket; under_way_.pop_front()) {
      Started& first = under_way_.front();
      if (first.ticket == ticket) CUDA_CHECK(cudaStreamWaitEvent(compute_, first.done.get(), 0));
      idle_.push_back(std::move(first.done));
    }
  }

  void check() override {
    ncclResult_t state = ncclSuccess;
    NCCL_CHECK(nccl_, NCCL(ncclCommGetAsyncError)(nccl_, &state));
    if (state != ncclInProgress) check_nccl(state, nccl_, "a collective in progress", __FILE__, __LINE__);
  }

  TrafficCosts costs() const override { return costs_; }

 private:
  struct Started {
    Ticket ticket;
    Event done;
  };

  static size_t count_of(const Tensor& x) { return static_cast<size_t>(x.count()); }

  // This rank's part of x, cut into size() equal parts.
  Tensor part_of(const Tensor& x) const {
    GPTMOE_CHECK(x.count() % size_ == 0, x.describe(), " over ", size_, " ranks");
    const int64_t count = x.count() / size_;
    return x.view({x.count()}).rows(rank_ * count, count);
  }

  // Makes NCCL's next work wait for all work queued on the Ops so far.
  void begin() {
    CUDA_CHECK(cudaEventRecord(asked_for_.get(), compute_));
    CUDA_CHECK(cudaStreamWaitEvent(stream_.get(), asked_for_.get(), 0));
  }

  // Events are reused. One is free again once the compute stream has been told to wait for it.
  Ticket started(Traffic traffic, int64_t bytes) {
    TrafficCost& cost = costs_[static_cast<size_t>(traffic)];
    ++cost.calls;
    cost.bytes += bytes;
    if (idle_.empty()) idle_.push_back(new_event());
    under_way_.push_back({++last_, std::move(idle_.back())});
    idle_.pop_back();
    CUDA_CHECK(cudaEventRecord(under_way_.back().done.get(), stream_.get()));
    return last_;
  }

  cudaStream_t compute_;
  int rank_, size_, unwinding_;
  const Stream stream_ = new_urgent_stream();
  const Event asked_for_ = new_event();
  ncclComm_t nccl_ = nullptr;
  std::deque<Started> under_way_;  // in order of their tickets
  std::vector<Event> idle_;
  Ticket last_ = 0;
  TrafficCosts costs_;
};

}  // namespace

std::string why_no_nccl() { return ""; }

std::unique_ptr<Communicator> make_nccl_communicator(World& world, Ops& ops) {
  return std::make_unique<NcclCommunicator>(world, ops);
}

}  // namespace gptmoe
