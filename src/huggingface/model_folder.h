#pragma once
// A model in a Hugging Face folder (config.json, model.safetensors), read as one of our models.
#include <filesystem>
#include <string>
#include <vector>

#include "huggingface/tensor_plan.h"
#include "huggingface/weight_files.h"
#include "memory/param_table.h"
#include "memory/state_table.h"

namespace gptmoe {

// Whether `path` is a folder with a config.json that has a model_type, and neither a checkpoint nor a run. Throws
// UserError if the system cannot tell.
bool is_model_folder(const std::filesystem::path& path);

struct ModelDescription {
  const Family* family;
  // The model and its router with every key. The other sections describe a run that has not started: the smallest
  // batch, sequences as long as the model's positions allow but at most 2048, and train.init_from = the folder.
  Config config;
  std::vector<std::string> ignored_keys;  // keys that gptmoe does not know; the class may not know them either
};

// What the config.json of a folder describes. Throws UserError naming the key of config.json if our models cannot
// compute what it describes.
ModelDescription describe_folder(const std::filesystem::path& folder);

// Reads the tensors as if the folder were a checkpoint: they have the names and shapes of our model. A tensor that our
// model lacks keeps its name; only names() lists it.
class ModelFolder final : public TensorReader {
 public:
  // Throws what describe_folder() throws, and UserError naming the file and the tensor if a file is damaged or missing,
  // or if a tensor that must be zero is not. Of the values, reads only those that must be zero.
  explicit ModelFolder(const std::filesystem::path& folder);

  const std::filesystem::path& path() const { return path_; }  // absolute
  const Family& family() const { return *description_.family; }
  const Config& config() const { return description_.config; }
  const std::vector<std::string>& ignored_keys() const { return description_.ignored_keys; }
  std::string checksum(World* world) const { return files_.checksum(world); }

  // Throws UserError unless the folder holds exactly the tensors of our model that the class has, in their shapes. It
  // may also hold a head that is tied to the embedding, if the values are the same.
  void require_all(const ParamTable& params, const StateTable& state) const;
  const PlannedTensor* find(const std::string& name) const;  // null if absent
  const WeightFiles& files() const { return files_; }

  std::vector<std::string> names() const override;
  bool holds(const std::string& name) const override { return find(name) != nullptr; }
  void check(const std::string& name, DType dtype, const std::vector<int64_t>& sizes) const override;
  void read_part(const std::string& name, int64_t first, const Tensor& out,
                 Memory& memory = host_memory()) const override;

 private:
  void require_zeros() const;
  void require_tied_head() const;
  // The name of the folder's tensor that holds our tensor `ours`; empty if only training needs `ours`.
  std::string theirs(const std::string& ours) const;

  std::filesystem::path path_;
  ModelDescription description_;
  WeightFiles files_;
  ImportPlan plan_;
};

}  // namespace gptmoe
