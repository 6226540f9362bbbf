#pragma once
// The model classes of Hugging Face transformers that compute our models, and our own class for all other models.
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "config/config.h"
#include "huggingface/family_names.h"

namespace gptmoe {

// A tensor of theirs that has no counterpart here. It must be zero for the class to compute our model.
struct ZeroTensor {
  std::string theirs;
  std::vector<int64_t> sizes;
};

struct Family {
  const char* model_type;    // in config.json
  const char* architecture;  // the class
  std::vector<TensorName> tensors;
  // What the model has that the class does not compute ("model.norm_type layernorm"); empty if the class computes the
  // model exactly.
  std::vector<std::string> (*misfits)(const Config& config);
  // Sets the keys of config.json that only this class has or names differently. The config's router block must have
  // every key (with_defaults()).
  void (*describe)(const Config& config, nlohmann::ordered_json& json);
  std::vector<ZeroTensor> (*zeros)(const ModelConfig& model) = nullptr;  // null: none
};

// The classes in transformers, in the order in which export tries them.
const std::vector<Family>& stock_families();
// Our class, GptmoeForCausalLM, whose source each export holds. It computes every model.
const Family& custom_family();

struct FamilyChoice {
  const Family* family;
  std::string why_custom;  // why no class in transformers fits; empty if one does
};
FamilyChoice choose_family(const Config& config);

}  // namespace gptmoe
