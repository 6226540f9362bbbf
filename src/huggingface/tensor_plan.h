#pragma once
// The tensors of an export and the checkpoint's values that they hold.
#include <functional>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "huggingface/families.h"

namespace gptmoe {

// `count` elements of `tensor` in the checkpoint's model file, from `first` on, times `factor`. An empty name: zeros.
struct TensorPiece {
  std::string tensor;
  int64_t first = 0, count = 0;
  float factor = 1;
};

struct PlannedTensor {
  std::string name;
  std::vector<int64_t> sizes;
  DType dtype;
  std::vector<TensorPiece> pieces;  // together all elements, in order

  int64_t bytes() const;
};

// Plans every tensor of `family` for a model file that holds exactly the model's tensors. `dtype` is f32 or bf16. In a
// bf16 export, our own class keeps routers and router state in f32.
std::vector<PlannedTensor> plan_tensors(const Family& family, const ModelConfig& model, const SafetensorsFile& file,
                                        DType dtype);

// Cuts the tensors into files of at most `shard_bytes` bytes of data each, in order. A larger tensor has a file of its
// own.
std::vector<std::vector<PlannedTensor>> cut_into_shards(const std::vector<PlannedTensor>& tensors, int64_t shard_bytes);

// Called with the number of bytes written since the last call.
using WriteProgress = std::function<void(int64_t bytes)>;

// The tensor as write_safetensors() takes it. It reads `file` in parts, so it needs little memory.
TensorSource source_of(const PlannedTensor& tensor, const SafetensorsFile& file, const WriteProgress& progress);

}  // namespace gptmoe
