#include "kernels/cpu/cpu_ops.h"

#include <omp.h>

#include "kernels/cpu/gemm.h"

namespace gptmoe {
namespace GPTMOE_CPU_NAMESPACE {

CpuOps::CpuOps(int threads) : threads_(threads > 0 ? threads : omp_get_max_threads()) { gemm_initialize(); }

std::string CpuOps::describe() const {
  return text("CPU, ", threads_, threads_ == 1 ? " thread, " : " threads, ", gemm_library());
}

}  // namespace GPTMOE_CPU_NAMESPACE

#ifdef GPTMOE_CPU_F64
std::unique_ptr<Ops> make_cpu_ops_f64(int threads) { return std::make_unique<cpu_f64::CpuOps>(threads); }
#else
std::unique_ptr<Ops> make_cpu_ops(int threads) { return std::make_unique<cpu_f32::CpuOps>(threads); }
#endif

}  // namespace gptmoe
