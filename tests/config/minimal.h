#pragma once
#include <string>

#include "base/check.h"
#include "base/json.h"

namespace gptmoe {

// The smallest valid config: all other fields have defaults.
inline nlohmann::json minimal() {
  return nlohmann::json::parse(R"({
    "model": {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
              "moe_intermediate_size": 48, "num_experts": 8},
    "data": {"train": "train_*.bin"},
    "train": {"steps": 100, "sequence_length": 16, "micro_batch_size": 4},
    "optimizer": {"learning_rate": 1e-3}})");
}

// minimal() changed by an RFC 7396 merge patch: null removes a key.
inline nlohmann::json minimal_with(const std::string& patch) {
  nlohmann::json out = minimal();
  out.merge_patch(nlohmann::json::parse(patch));
  return out;
}

// Returns the message of the UserError that `action` throws, or "no error".
template <typename Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace gptmoe
