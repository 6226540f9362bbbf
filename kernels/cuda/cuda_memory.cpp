#include "kernels/cuda/cuda_memory.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/cuda_check.h"

namespace gptmoe::cuda {
namespace {

constexpr int64_t kStageBytes = int64_t{8} << 20;

// Memory that is left to the driver. It loads kernels, including cuBLASLt's, when they first run.
constexpr int64_t kCodeBytes = int64_t{256} << 20;

class CudaSnapshot final : public Snapshot {
 public:
  CudaSnapshot(cudaStream_t stream, int64_t bytes) : stream_(stream), capacity_(bytes) {
    CUDA_CHECK(cudaMallocHost(&memory_, static_cast<size_t>(bytes)));
    CUDA_CHECK(cudaEventCreateWithFlags(&taken_, cudaEventDisableTiming));
  }
  CudaSnapshot(const CudaSnapshot&) = delete;
  CudaSnapshot& operator=(const CudaSnapshot&) = delete;
  ~CudaSnapshot() override {
    cudaEventDestroy(taken_);
    cudaFreeHost(memory_);
  }

  void take(const Tensor& from) override {
    GPTMOE_CHECK(from.bytes() <= capacity_, from.describe());
    CUDA_CHECK(
        cudaMemcpyAsync(memory_, from.data(), static_cast<size_t>(from.bytes()), cudaMemcpyDeviceToHost, stream_));
    CUDA_CHECK(cudaEventRecord(taken_, stream_));
    dtype_ = from.dtype();
    count_ = from.count();
  }
  std::vector<double> values() override {
    CUDA_CHECK(cudaEventSynchronize(taken_));
    return values_at(memory_, dtype_, count_);
  }

 private:
  cudaStream_t stream_;
  int64_t capacity_;
  void* memory_ = nullptr;
  cudaEvent_t taken_ = nullptr;
  DType dtype_ = DType::f32;
  int64_t count_ = 0;
};

}  // namespace

CudaMemory::CudaMemory(cudaStream_t stream) : stream_(stream) {
  for (Stage& stage : stages_) {
    CUDA_CHECK(cudaMallocHost(&stage.memory, kStageBytes));
    CUDA_CHECK(cudaEventCreateWithFlags(&stage.over, cudaEventDisableTiming));
  }
}

CudaMemory::~CudaMemory() {
  for (Stage& stage : stages_) {
    cudaEventDestroy(stage.over);
    cudaFreeHost(stage.memory);
  }
}

void* CudaMemory::allocate(int64_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, static_cast<size_t>(bytes));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // handled here: later calls must not see it
    return nullptr;
  }
  CUDA_CHECK(status);
  CUDA_CHECK(cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), stream_));
  return memory;
}

void CudaMemory::release(void* memory, int64_t) { cudaFree(memory); }

int64_t CudaMemory::available() const {
  size_t free = 0, total = 0;
  CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return std::max<int64_t>(0, static_cast<int64_t>(free) - kCodeBytes);
}

CudaMemory::Stage& CudaMemory::next_stage() {
  Stage& stage = stages_[next_];
  next_ = (next_ + 1) % stages_.size();
  return stage;
}

void CudaMemory::upload(const Tensor& to, const void* from) {
  for (int64_t at = 0; at < to.bytes(); at += kStageBytes) {
    const auto bytes = static_cast<size_t>(std::min(kStageBytes, to.bytes() - at));
    Stage& stage = next_stage();
    CUDA_CHECK(cudaEventSynchronize(stage.over));
    std::memcpy(stage.memory, static_cast<const char*>(from) + at, bytes);
    CUDA_CHECK(
        cudaMemcpyAsync(static_cast<char*>(to.data()) + at, stage.memory, bytes, cudaMemcpyHostToDevice, stream_));
    CUDA_CHECK(cudaEventRecord(stage.over, stream_));
  }
}

void CudaMemory::download(void* to, const Tensor& from) {
  struct Part {
    const Stage* stage;
    int64_t at;
    size_t bytes;
  };
  const auto finish = [&](const Part& part) {
    CUDA_CHECK(cudaEventSynchronize(part.stage->over));
    std::memcpy(static_cast<char*>(to) + part.at, part.stage->memory, part.bytes);
  };
  Part under_way{nullptr, 0, 0};
  for (int64_t at = 0; at < from.bytes(); at += kStageBytes) {
    const auto bytes = static_cast<size_t>(std::min(kStageBytes, from.bytes() - at));
    const Stage& stage = next_stage();  // an upload that still reads it comes earlier in the stream
    CUDA_CHECK(cudaMemcpyAsync(stage.memory, static_cast<const char*>(from.data()) + at, bytes, cudaMemcpyDeviceToHost,
                               stream_));
    CUDA_CHECK(cudaEventRecord(stage.over, stream_));
    if (under_way.stage) finish(under_way);
    under_way = {&stage, at, bytes};
  }
  if (under_way.stage) finish(under_way);
}

std::unique_ptr<Snapshot> CudaMemory::make_snapshot(int64_t bytes) {
  return std::make_unique<CudaSnapshot>(stream_, bytes);
}

}  // namespace gptmoe::cuda
