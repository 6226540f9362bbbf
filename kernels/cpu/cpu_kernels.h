#pragma once
// The CPU's kernels for Real numbers, threaded with OpenMP. Loops over rows use a static schedule and every reduction
// has a fixed order for a given thread count.
#include "kernels/cpu/gemm.h"
#include "kernels/kernels.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

class CpuKernels final : public Kernels {
 public:
  CpuKernels(int threads, Operands operands);

  DType compute_dtype() const override { return DTypeOf<Real>::value; }
  DType statistics_dtype() const override { return DTypeOf<Real>::value; }
  Memory& memory() override { return host_memory(); }
  void synchronize() override {}
  int64_t logit_elements() const override;
  int64_t workspace_bytes() const override { return 0; }
  std::string describe() const override;
  int64_t count_nonfinite(const Tensor& x) override;

  // Each op is in its family's file: linear.cpp, router.cpp, ...
#define OP(name, ...) void name(__VA_ARGS__) override;
#include "kernels/ops.inc"

 private:
  // The same kernels, except that products do not round their operands.
  CpuKernels in_full_precision() const {
    CpuKernels kernels = *this;
    kernels.operands_ = Operands::real;
    return kernels;
  }

  int threads_;
  Operands operands_;  // how the products in dense layers, experts, the LM head and attention use their operands
};

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
