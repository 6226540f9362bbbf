#pragma once
#include "kernels/ops.h"

namespace gptmoe {

// Measures the backend's matmul throughput, in FLOP/s, with large matrices. Takes about a tenth of a second. The
// utilisation (mfu) is the model's FLOP/s divided by this throughput.
double measure_matrix_rate(Ops& ops);

}  // namespace gptmoe
