#pragma once
// RepeatedWork as a CUDA graph, with which one call of the host starts thousands of kernels.
#include <cuda_runtime.h>

#include "kernels/ops.h"

namespace gptmoe::cuda {

class CudaGraph final : public RepeatedWork {
 public:
  // The work must run on this stream.
  explicit CudaGraph(cudaStream_t stream) : stream_(stream) {}
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  ~CudaGraph() override;

  // Runs the work the first time, records it the second time, and replays it after that.
  void run(const std::function<void()>& work) override;

 private:
  void capture(const std::function<void()>& work);

  cudaStream_t stream_;
  bool warm_ = false;
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace gptmoe::cuda
