#pragma once
#include <limits>

#include "kernels/ops.h"

namespace gptmoe {

// Measures the backend's matmul throughput, in FLOP/s, with large matrices. Takes about a tenth of a second. With
// `run_flops`, the floating-point operations of a run, it works no longer than the run would, apart from two small
// products. The utilisation (mfu) is the model's FLOP/s divided by this throughput.
double measure_matrix_rate(Ops& ops, double run_flops = std::numeric_limits<double>::infinity());

}  // namespace gptmoe
