#pragma once
// Whether the numbers of a checkpoint are finite: checked on the device, before a checkpoint is written and after it is
// read.
#include <string>

#include "checkpoint/checkpoint.h"
#include "kernels/ops.h"

namespace gptmoe {

// The first row of the checkpoint's files with an element that is infinite or not a number, under its name there; empty
// if all elements are finite. Each rank checks the elements that it holds. `ops` run where the tensors are.
std::string first_nonfinite_row(Ops& ops, const CheckpointTensors& tensors);

// Throws UserError naming the checkpoint, the row and the remedy if the tensors, read from there, are not all finite.
void require_finite_rows(Ops& ops, const CheckpointTensors& tensors, const std::filesystem::path& checkpoint_dir);

// load_model() into the memory of `ops`, and require_finite_rows().
CheckpointState load_finite_model(const std::filesystem::path& checkpoint_dir, const ParamTable& params,
                                  const StateTable& state, Ops& ops, Weights weights = Weights::last);

}  // namespace gptmoe
