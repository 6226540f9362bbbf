#include "kernels/cpu/cpu_kernels.h"

#include <omp.h>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/ops.h"

namespace gptmoe {
namespace GPTMOE_CPU_NAMESPACE {

CpuKernels::CpuKernels(int threads, Operands operands)
    : threads_(threads > 0 ? threads : omp_get_max_threads()), operands_(operands) {
  gemm_initialize();
}

int64_t CpuKernels::logit_elements() const { return kCpuLogitElements; }

std::string CpuKernels::describe() const {
  return text("CPU, ", threads_, threads_ == 1 ? " thread, " : " threads, ", gemm_library(operands_));
}

}  // namespace GPTMOE_CPU_NAMESPACE

#ifdef GPTMOE_CPU_F64
std::unique_ptr<Ops> make_cpu_ops_f64(int threads) {
  return std::make_unique<Ops>(std::make_shared<cpu_f64::CpuKernels>(threads, cpu_f64::Operands::real));
}
#else
bool cpu_multiplies_bf16_faster() { return cpu_f32::bf16_kernels().size() > 1; }  // the last kernel emulates bf16

std::unique_ptr<Ops> make_cpu_ops(int threads, DType products) {
  GPTMOE_CHECK(products == DType::f32 || products == DType::bf16, dtype_name(products));
  const auto operands = products == DType::bf16 ? cpu_f32::Operands::bf16 : cpu_f32::Operands::real;
  return std::make_unique<Ops>(std::make_shared<cpu_f32::CpuKernels>(threads, operands));
}
#endif

}  // namespace gptmoe
