#pragma once
// How the config.json of each Hugging Face model class describes our models. An export writes it, and an import reads
// it.
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "config/config.h"
#include "huggingface/their_config.h"

namespace gptmoe {

// Sets the keys of config.json that only this class has, and those that it names differently. The config's router block
// must have every key (with_defaults()).
using Describe = void (*)(const Config& config, nlohmann::ordered_json& json);
// Sets config.model and config.router to what config.json describes. Throws UserError, naming key and value, at the
// first key that makes the class compute something that our models do not.
using Understand = void (*)(TheirConfig& theirs, Config& config);

struct FamilyConfig {
  Describe describe;
  Understand understand;
};

// The key of config.json that a key of our config ("model.num_experts", "router.jitter") was read from.
std::string their_key(TheirConfig& theirs, const std::string& ours);

FamilyConfig llama_config();
FamilyConfig stablelm_config();
FamilyConfig gpt_neox_config();
FamilyConfig olmoe_config();
FamilyConfig mixtral_config();
FamilyConfig qwen2_moe_config();
FamilyConfig qwen3_moe_config();
FamilyConfig qwen3_config();
FamilyConfig phimoe_config();
FamilyConfig custom_config();  // our own keys, as in the run's config

}  // namespace gptmoe
