#pragma once
// The rows in a checkpoint's files: how they are assembled from the ranks that hold them, and where each rank loads
// them to.
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"

namespace gptmoe {

// The rows of `tensors` to write, in the order of the file. On rank 0, a row's visit() receives the other ranks' parts
// and passes on the whole row; on any other rank, visit() sends that rank's part. So every rank must visit every row,
// in this order.
std::vector<TensorSource> model_sources(const CheckpointTensors& tensors);
std::vector<TensorSource> average_sources(const CheckpointTensors& tensors);
std::vector<TensorSource> optimizer_sources(const CheckpointTensors& tensors);

// A row of a file and the parts of it that this rank reads.
struct RowToLoad {
  std::string name;
  std::vector<int64_t> sizes;
  std::vector<RowPart> parts;
};
std::vector<RowToLoad> model_rows(const CheckpointTensors& tensors);
std::vector<RowToLoad> average_rows(const CheckpointTensors& tensors);
std::vector<RowToLoad> optimizer_rows(const CheckpointTensors& tensors);

}  // namespace gptmoe
