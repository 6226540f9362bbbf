#include "kernels/cuda/cuda_graph.h"

#include "kernels/cuda/cuda_check.h"

namespace gptmoe::cuda {

CudaGraph::~CudaGraph() {
  if (graph_) cudaGraphExecDestroy(graph_);
}

void CudaGraph::run(const std::function<void()>& work) {
  if (!warm_) {  // the first use loads kernels and chooses algorithms, which a graph cannot record
    warm_ = true;
    return work();
  }
  if (!graph_) capture(work);
  CUDA_CHECK(cudaGraphLaunch(graph_, stream_));
}

void CudaGraph::capture(const std::function<void()>& work) {
  CUDA_CHECK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  cudaGraph_t recorded = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(stream_, &recorded);
    if (recorded) cudaGraphDestroy(recorded);
    throw;
  }
  CUDA_CHECK(cudaStreamEndCapture(stream_, &recorded));
  const cudaError_t status = cudaGraphInstantiate(&graph_, recorded, 0);
  cudaGraphDestroy(recorded);
  CUDA_CHECK(status);
}

}  // namespace gptmoe::cuda
