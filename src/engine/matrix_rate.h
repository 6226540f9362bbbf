#pragma once
#include "kernels/ops.h"

namespace gptmoe {

// The rate of large matrix products on the backend, in FLOP/s. Measures for about a tenth of a second. The
// utilisation (mfu) is the model's FLOP/s divided by this rate.
double measure_matrix_rate(Ops& ops);

}  // namespace gptmoe
