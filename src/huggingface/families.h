#pragma once
// The model classes of Hugging Face transformers that compute our models, and our own class for all other models.
#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "huggingface/family_configs.h"
#include "huggingface/family_names.h"

namespace gptmoe {

// A tensor of the class that our model does not have. It must be zero for the class to compute our model.
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
  FamilyConfig config;
  std::vector<ZeroTensor> (*zeros)(const ModelConfig& model) = nullptr;  // null: none
};

// The classes in transformers, in the order in which an export tries them.
const std::vector<Family>& stock_families();
// Our class, GptmoeForCausalLM, which computes every model. An export that uses it contains its source.
const Family& custom_family();
// The family of a model_type in config.json; null if no family has that type. known_model_types() lists them.
const Family* family_of(const std::string& model_type);
std::string known_model_types();

struct FamilyChoice {
  const Family* family;
  std::string why_custom;  // why no class in transformers fits; empty if one does
};
FamilyChoice choose_family(const Config& config);

}  // namespace gptmoe
