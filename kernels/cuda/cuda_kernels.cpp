#include "kernels/cuda/cuda_kernels.h"

#include <algorithm>

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/cuda_graph.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/stream.h"
#include "kernels/kept_choices.h"
#include "kernels/ops.h"

namespace gptmoe::cuda {
CudaKernels::CudaKernels(DType compute, const CudaOptions& options)
    : compute_(compute), graphs_(options.graphs), hopper_(options.hopper) {
  GPTMOE_CHECK(compute == DType::f32 || compute == DType::bf16);
  GPTMOE_CHECK(!options.hopper || why_no_hopper().empty(), why_no_hopper());
  int device = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, device));
  int shared_bytes = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device));
  shared_bytes_ = static_cast<size_t>(shared_bytes);
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&workspace_), kWorkspaceFloats * sizeof(float)));
  memory_ = std::make_unique<CudaMemory>(stream_);
  matmul_ = std::make_unique<Matmul>(stream_);
}

CudaKernels::~CudaKernels() {
  matmul_.reset();
  memory_.reset();
  cudaFree(workspace_);
  cudaStreamDestroy(stream_);
}

CudaKernels::Partials CudaKernels::partials(int64_t width, int64_t most) {
  const int64_t fit = kWorkspaceFloats / std::max<int64_t>(width, 1);
  GPTMOE_CHECK(fit > 0, "rows of ", width, " floats");
  return {workspace_, std::max<int64_t>(1, std::min({most, fit, int64_t{4} * multiprocessors_}))};
}

Memory& CudaKernels::memory() { return *memory_; }

void CudaKernels::synchronize() { CUDA_CHECK(cudaStreamSynchronize(stream_)); }

std::unique_ptr<RepeatedWork> CudaKernels::make_repeated_work() {
  return graphs_ ? std::make_unique<CudaGraph>(stream_) : Kernels::make_repeated_work();
}

int64_t CudaKernels::logit_elements() const { return kCudaLogitElements; }

std::string CudaKernels::describe() const {
  cudaDeviceProp properties{};
  int device = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  return text(properties.name, ", ", dtype_name(compute_), hopper_ ? ", Hopper's kernels" : "");
}

cudaStream_t stream_of(const Ops& ops) {
  const auto* of_cuda = dynamic_cast<const CudaKernels*>(&ops.kernels());
  GPTMOE_CHECK(of_cuda, ops.describe());
  return of_cuda->stream();
}

}  // namespace gptmoe::cuda

namespace gptmoe {

std::unique_ptr<Ops> make_cuda_ops(DType compute, const CudaOptions& options) {
  return std::make_unique<Ops>(std::make_shared<cuda::CudaKernels>(compute, options));
}

void keep_choices(Ops& ops, const std::filesystem::path& file) {
  if (const auto* of_cuda = dynamic_cast<const cuda::CudaKernels*>(&ops.kernels()))
    of_cuda->matmul().keep_choices(file);
}

std::vector<std::string> take_notes(Ops& ops) {
  const auto* of_cuda = dynamic_cast<const cuda::CudaKernels*>(&ops.kernels());
  return of_cuda ? of_cuda->matmul().take_notes() : std::vector<std::string>();
}

}  // namespace gptmoe
