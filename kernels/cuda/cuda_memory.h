#pragma once
// A GPU's memory, reached over one stream. Copies pass through pinned memory of the host, so that their caller need
// not have any and an upload does not wait for the device.
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
  // Pinned memory, and when the last copy from or to it is over.
  struct Stage {
    void* memory = nullptr;
    cudaEvent_t over = nullptr;
  };
  Stage& next_stage();

  cudaStream_t stream_;
  std::array<Stage, 2> stages_;  // the host fills or empties one while the device works on the other
  size_t next_ = 0;
};

}  // namespace gptmoe::cuda
