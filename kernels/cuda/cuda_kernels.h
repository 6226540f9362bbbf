#pragma once
// The GPU's kernels over f32 or bf16 storage with f32 arithmetic, on one stream. After construction, only the first
// product of each kind may allocate memory (matmul.h). Only that product, synchronize() and count_nonfinite() wait for
// the device.
#include <cuda_runtime.h>

#include "kernels/cuda_limits.h"
#include "kernels/kernels.h"

namespace gptmoe {
struct CudaOptions;
}

namespace gptmoe::cuda {

class CudaMemory;
class Matmul;

class CudaKernels final : public Kernels {
 public:
  // compute: f32 or bf16; statistics are f32.
  CudaKernels(DType compute, const CudaOptions& options);
  ~CudaKernels() override;

  cudaStream_t stream() const { return stream_; }
  Matmul& matmul() const { return *matmul_; }
  DType compute_dtype() const override { return compute_; }
  DType statistics_dtype() const override { return DType::f32; }
  Memory& memory() override;
  void synchronize() override;
  std::unique_ptr<RepeatedWork> make_repeated_work() override;
  int64_t logit_elements() const override;
  int64_t workspace_bytes() const override { return kWorkspaceBytes; }
  std::string describe() const override;
  int64_t count_nonfinite(const Tensor& x) override;

  // Each op is in its family's file: linear.cpp, router.cu, ...
#define OP(name, ...) void name(__VA_ARGS__) override;
#include "kernels/ops.inc"

 private:
  // Workspace for the partial sums of two-stage reductions: `rows` rows of `width` floats, valid until the next op.
  // partials() chooses the best number of rows for this device, at most `most`.
  struct Partials {
    float* data;
    int64_t rows;
  };
  Partials partials(int64_t width, int64_t most);

  DType compute_;
  bool graphs_;
  bool hopper_;  // use the kernels of kernels/cuda/hopper where they take an op's shapes
  cudaStream_t stream_ = nullptr;
  int multiprocessors_ = 0;
  size_t shared_bytes_ = 0;  // shared memory of a multiprocessor
  float* workspace_ = nullptr;
  std::unique_ptr<CudaMemory> memory_;
  std::unique_ptr<Matmul> matmul_;
};

}  // namespace gptmoe::cuda
