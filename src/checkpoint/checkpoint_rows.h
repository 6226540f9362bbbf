#pragma once
// What the files of a checkpoint hold, row by row: how it is put together from the ranks that hold it, and where each
// rank takes it back to.
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"

namespace gptmoe {

// What is to be written of `tensors`, in the order of the file. On rank 0 a row's visit() hands out the whole row,
// receiving what other ranks hold of it; on those it sends that. So every rank visits every row, in this order.
std::vector<TensorSource> model_sources(const CheckpointTensors& tensors);
std::vector<TensorSource> optimizer_sources(const CheckpointTensors& tensors);

// A row of a file and what of it is to be read where, on this rank.
struct RowToLoad {
  std::string name;
  std::vector<int64_t> sizes;
  std::vector<RowPart> parts;
};
std::vector<RowToLoad> model_rows(const CheckpointTensors& tensors);
std::vector<RowToLoad> optimizer_rows(const CheckpointTensors& tensors);

}  // namespace gptmoe
