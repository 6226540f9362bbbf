#pragma once
// Numbers of a ParamTable's elements that are kept in 8-bit codes (kernels/block_code.h).
#include "base/tensor.h"
#include "memory/partition.h"

namespace gptmoe {

struct CodedElements {
  Tensor codes, scales;  // of the elements in `held`; a scale for each block. Absent if no elements are coded
  Partition held;        // on this rank. Its pieces start at multiples of a block, in the table and in `codes`
  Partition all;         // on any rank
};

}  // namespace gptmoe
