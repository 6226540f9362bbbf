#pragma once
#include <memory>

#include "config/config.h"
#include "kernels/plan_ops.h"

namespace gptmoe {

// The Ops that "device" and "precision" ask for: "auto" takes a GPU where there is one, and bf16 on it. Throws
// UserError when this build or machine does not have them, or does not take the run's sizes.
std::unique_ptr<Ops> make_backend(const Config& config);

// Why this build or machine lacks the device that the config names; empty where make_backend() has one.
std::string why_no_device(const Config& config);

// What lays out memory as make_backend()'s would, also for a device that this machine does not have.
PlanOps plan_backend(const Config& config);

// The matrix rate that the backend reaches on large products, in FLOP/s, measured in about a tenth of a second: what
// the hardware's share in use (mfu) is taken of.
double measure_matrix_rate(Ops& ops);

}  // namespace gptmoe
