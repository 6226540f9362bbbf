#pragma once
// A GPU's memory, accessed over one stream. Copies go through this class's pinned host memory, so the caller's memory
// need not be pinned, and an upload does not wait for the device.
#include <cuda_runtime.h>

#include <array>

#include "base/memory.h"

namespace gptmoe::cuda {

class CudaMemory final : public Memory {
 public:
  explicit CudaMemory(cudaStream_t stream);
  ~CudaMemory() override;
  CudaMemory(const CudaMemory&) = delete;
  CudaMemory& operator=(const CudaMemory&) = delete;

  bool on_host() const override { return false; }
  const char* name() const override { return "GPU memory"; }
  void* allocate(int64_t bytes) override;
  void release(void* memory, int64_t bytes) override;
  int64_t available() const override;
  void upload(const Tensor& to, const void* from) override;
  void download(void* to, const Tensor& from) override;
  std::unique_ptr<Snapshot> make_snapshot(int64_t bytes) override;

 private:
  // Pinned memory, and the event that marks the end of the last copy from or to it.
  struct Stage {
    void* memory = nullptr;
    cudaEvent_t over = nullptr;
  };
  Stage& next_stage();

  cudaStream_t stream_;
  std::array<Stage, 2> stages_;  // the host uses one while the device uses the other
  size_t next_ = 0;
};

}  // namespace gptmoe::cuda
