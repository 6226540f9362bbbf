#pragma once
// How the config.json of each class describes our models: written by an export, read by an import.
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "config/config.h"
#include "huggingface/their_config.h"

namespace gptmoe {

// Sets the keys of config.json that only this class has, and those that it names differently. The config's router block
// must have every key (with_defaults()).
using Describe = void (*)(const Config& config, nlohmann::ordered_json& json);
// Sets config.model and config.router as config.json describes them. Throws UserError at the first key whose value
// makes the class compute what our models do not; the message names the key and the value.
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
