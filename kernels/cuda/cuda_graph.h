#pragma once
// RepeatedWork work as a CUDA graph: the device gets thousands of kernels by one call of the host.
#include <cuda_runtime.h>

#include "kernels/ops.h"

namespace gptmoe::cuda {

class CudaGraph final : public RepeatedWork {
 public:
  // Of work on this stream.
  explicit CudaGraph(cudaStream_t stream) : stream_(stream) {}
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  ~CudaGraph() override;

  // Does the work itself the first time, records it the second time, and replays it from then on.
  void run(const std::function<void()>& work) override;

 private:
  void capture(const std::function<void()>& work);

  cudaStream_t stream_;
  bool warm_ = false;
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace gptmoe::cuda
