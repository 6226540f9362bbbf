#pragma once
// Where the values of each tensor come from: for an export, from the tensors of a checkpoint; for an import, from those
// of a Hugging Face folder.
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "huggingface/families.h"
#include "huggingface/weight_files.h"

namespace gptmoe {

// `count` elements of the source tensor `tensor`, from `first` on, times `factor`; zeros if the name is empty.
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

// Plans every tensor of `family`, for an export of a model file that holds exactly the model's tensors. `dtype` is f32
// or bf16. In a bf16 export, our own class keeps routers and router state in f32.
std::vector<PlannedTensor> plan_tensors(const Family& family, const ModelConfig& model, const SafetensorsFile& file,
                                        DType dtype);

// The plan of an import: by name, each of our tensors that the folder has values for, in f32. If a tensor of the folder
// holds several of our tensors, it is read once for each.
struct ImportPlan {
  std::map<std::string, PlannedTensor> tensors;
  std::vector<std::string> unknown;  // tensors of the folder that the family does not name
  std::vector<std::string> zeros;    // tensors of the folder that must be zero (Family::zeros)
};
// Throws UserError naming a tensor of the folder that should hold several of our tensors but cannot be divided into
// them.
ImportPlan plan_import(const Family& family, const ModelConfig& model, const WeightFiles& files);
// Overwrites `out` with out.count() elements of a planned tensor, from element `first` on. Throws UserError naming the
// file and its tensor if an element is infinite or not a number.
void read_planned(const PlannedTensor& tensor, const WeightFiles& from, int64_t first, const Tensor& out,
                  Memory& memory);

// Cuts the tensors into files of at most `shard_bytes` bytes of data each, in order. A larger tensor has a file of its
// own.
std::vector<std::vector<PlannedTensor>> cut_into_shards(const std::vector<PlannedTensor>& tensors, int64_t shard_bytes);

// Called with the number of bytes written since the last call.
using WriteProgress = std::function<void(int64_t bytes)>;

// A source of the tensor for write_safetensors(), with values read from `from`. The source reads in parts, so it needs
// little memory. Visiting it throws what read_planned() throws. `from` is a SafetensorsFile or WeightFiles. All
// arguments must outlive the source.
template <typename Files>
TensorSource source_of(const PlannedTensor& tensor, const Files& from, const WriteProgress& progress);

}  // namespace gptmoe
