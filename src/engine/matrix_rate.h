#pragma once
#include <limits>

#include "kernels/ops.h"

namespace gptmoe {

// Measures the backend's matmul throughput, in FLOP/s, with large matrices. Takes about a tenth of a second. If
// `run_flops` is given, the number of floating-point operations in a run, the measurement takes no more time than the
// run would, except for two small matrix products that are always timed. The utilisation (mfu) is the model's FLOP/s
// divided by this throughput.
double measure_matrix_rate(Ops& ops, double run_flops = std::numeric_limits<double>::infinity());

}  // namespace gptmoe
