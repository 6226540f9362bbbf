#pragma once
// Compares Hopper's kernels with the portable ones on the current GPU.
#include <string>
#include <vector>

#include "op_cases/op_case.h"

namespace gptmoe {

// Runs the cases on both, the second time twice: results must agree, and be the same bits both times; nothing around
// the outputs may be written. Returns the first fault in one line, or nothing. Throws DeviceError if a kernel fails,
// and UserError if the GPU has no room for a case.
std::string hopper_fault(Ops& portable, Ops& hopper, const std::vector<OpCase>& cases);

// The child process of engine/hopper_choice.h: checks all ops that have kernels for Hopper on the GPU of this rank of
// its machine, and returns if they are right. Throws Failure if they are not, UserError if they cannot be checked.
void check_hopper(int local_rank, int local_size);

}  // namespace gptmoe
