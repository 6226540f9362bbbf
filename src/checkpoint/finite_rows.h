#pragma once
// Checks on the device that the numbers of a checkpoint are finite, before it is written and after it is read.
#include <string>

#include "checkpoint/checkpoint.h"
#include "kernels/ops.h"

namespace gptmoe {

// The name, as in the checkpoint's files, of the first row that has an infinite element or NaN; empty if all elements
// are finite. Each rank checks the elements that it holds. `ops` must run on the device of the tensors.
std::string first_nonfinite_row(Ops& ops, const CheckpointTensors& tensors);

// Throws UserError naming checkpoint, row and remedy if `tensors`, which were read from `checkpoint_dir`, have an
// element that is not finite.
void require_finite_rows(Ops& ops, const CheckpointTensors& tensors, const std::filesystem::path& checkpoint_dir);

// Calls load_model() with the memory of `ops`, then require_finite_rows(). Returns the saved state.
CheckpointState load_finite_model(const std::filesystem::path& checkpoint_dir, const ParamTable& params,
                                  const StateTable& state, Ops& ops, Weights weights = Weights::last);

}  // namespace gptmoe
