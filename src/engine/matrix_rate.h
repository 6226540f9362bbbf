#pragma once
#include "kernels/ops.h"

namespace gptmoe {

// The matrix rate that the backend reaches on large products, in FLOP/s. Measures for about a tenth of a second. The
// hardware utilisation (mfu) is the model's FLOP/s over this rate.
double measure_matrix_rate(Ops& ops);

}  // namespace gptmoe
