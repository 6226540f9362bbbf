#pragma once
#include <memory>

#include "config/config.h"
#include "kernels/ops.h"

namespace gptmoe {

// The Ops that "device" and "precision" ask for. Throws UserError when this build or machine does not have it.
std::unique_ptr<Ops> make_backend(const Config& config);

// The matrix rate that the backend reaches on large products, in FLOP/s, measured in about a tenth of a second: what
// the share of the hardware's peak (mfu) is taken of on a CPU, which has no datasheet figure of its own.
double measure_matrix_rate(Ops& ops);

}  // namespace gptmoe
