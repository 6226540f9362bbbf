#pragma once
#include "support/model_fixture.h"

namespace gptmoe::testing {

// A config whose model and batch up to eight ranks can share. `changes` is merged into it.
inline Config rank_config(const nlohmann::json& changes = nlohmann::json::object()) {
  nlohmann::json run = {{"model",
                         {{"vocab_size", 1000},
                          {"hidden_size", 64},
                          {"num_attention_heads", 4},
                          {"num_hidden_layers", 4},
                          {"intermediate_size", 128},
                          {"moe_intermediate_size", 128},
                          {"num_experts", 8},
                          {"first_k_dense_replace", 1}}},
                        {"train", {{"micro_batch_size", 4}, {"global_batch_size", 32}, {"sequence_length", 64}}}};
  run.merge_patch(changes);
  return tiny_config(run);
}

}  // namespace gptmoe::testing
