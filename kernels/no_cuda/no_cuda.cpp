// The functions of kernels/cuda in a program that is built without CUDA.
#include "base/check.h"
#include "kernels/cuda_limits.h"
#include "kernels/gpu_facts.h"
#include "kernels/kept_choices.h"
#include "kernels/ops.h"

namespace gptmoe {

std::string why_no_cuda() { return "this gptmoe was built without CUDA; install the CUDA Toolkit and build again"; }

std::unique_ptr<Ops> make_cuda_ops(DType, const CudaOptions&) { throw Failure(why_no_cuda()); }

std::string why_no_hopper() { return why_no_cuda(); }

int64_t cuda_widest_head() { return cuda::kMaxHeadDim; }

void use_cuda_device(int, int) {}

std::string cuda_device_id() { return ""; }

int64_t cuda_multiprocessors() { return 0; }

std::string cuda_driver_version() { return ""; }

void keep_choices(Ops&, const std::filesystem::path&) {}

std::vector<std::string> take_notes(Ops&) { return {}; }

}  // namespace gptmoe
