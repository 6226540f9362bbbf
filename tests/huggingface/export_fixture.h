#pragma once
// Checkpoints of tiny models, exported and read back.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "huggingface/export.h"
#include "routing/router_defaults.h"
#include "routing/router_table.h"
#include "support/error_message.h"
#include "support/model_fixture.h"
#include "support/temporary_folder.h"

namespace gptmoe::testing {

namespace fs = std::filesystem;
using nlohmann::json;

// A tensor's shape and values.
struct ReadTensor {
  std::vector<int64_t> sizes;
  std::vector<float> values;
};
using ReadTensors = std::map<std::string, ReadTensor>;

inline void read_tensors(const fs::path& path, ReadTensors& out) {
  const SafetensorsFile file(path);
  for (const SafetensorsFile::Entry& entry : file.entries()) {
    if (entry.dtype() != DType::f32 && entry.dtype() != DType::bf16) continue;
    ReadTensor& tensor = out[entry.name];
    EXPECT_TRUE(tensor.values.empty()) << entry.name << " is in two files";
    tensor.sizes = entry.sizes;
    const int64_t count = entry.count();
    std::vector<char> bytes(static_cast<size_t>(entry.end - entry.begin));
    file.read_part(entry.name, 0, Tensor(bytes.data(), entry.dtype(), {count}));
    for (const double value : values_at(bytes.data(), entry.dtype(), count))
      tensor.values.push_back(static_cast<float>(value));
  }
}

// Removes the router state that only training needs.
inline void erase_training_state(ReadTensors& tensors) {
  std::erase_if(tensors, [](const auto& tensor) {
    return tensor.first == "model.l1_coefficient" || tensor.first.ends_with(".gate.thresholds.steps");
  });
}

// A model that a class of transformers computes.
struct FamilyCase {
  const char* model_type;
  const char* changes;  // to the tiny config
};

inline const std::vector<FamilyCase>& family_cases() {
  static const std::vector<FamilyCase> cases = {
      {"olmoe", R"({"model": {"qk_norm": true, "attention_bias": true}})"},
      {"mixtral", R"({"model": {"norm_topk_prob": true, "head_dim": 6}})"},
      {"qwen2_moe", R"({})"},
      {"qwen2_moe", R"({"model": {"n_shared_experts": 2, "first_k_dense_replace": 1, "tie_word_embeddings": true}})"},
      {"phimoe", R"({"model": {"norm_type": "layernorm", "attention_bias": true}, "router": {"type": "sparsemixer"}})"},
      {"llama", R"({"model": {"num_experts": 0, "attention_bias": true, "head_dim": 6}})"},
      {"llama", R"({"model": {"first_k_dense_replace": 2}})"},
      {"stablelm", R"({"model": {"num_experts": 0, "norm_type": "layernorm"}})"},
      {"gpt_neox", R"({"model": {"num_experts": 0, "norm_type": "layernorm", "hidden_act": "gelu"}})"},
      {"gpt_neox", R"({"model": {"num_experts": 0, "norm_type": "layernorm", "hidden_act": "gelu",
                               "attention_bias": true, "tie_word_embeddings": true}})"},
      {"qwen3_moe", R"({"model": {"qk_norm": true, "qk_norm_scope": "head", "attention_bias": true, "head_dim": 6}})"},
      {"qwen3_moe", R"({"model": {"qk_norm": true, "qk_norm_scope": "head", "first_k_dense_replace": 1}})"},
      {"qwen3", R"({"model": {"num_experts": 0, "qk_norm": true, "qk_norm_scope": "head", "head_dim": 6}})"}};
  return cases;
}

class ExportTest : public ::testing::Test {
 protected:
  static Config config_of(const json& changes) {
    Config config = tiny_config(changes);
    config.router = with_defaults(config.router, router_setup(config.model));
    return config;
  }

  // Saves a new model, in which no tensor is constant, as step 3 of a run.
  fs::path save(const Config& config) {
    Model model(config);
    const Gpt& gpt = model.gpt();
    uint64_t draws = 0;
    const auto fill = [&](const Tensor& tensor) {
      for (int64_t i = 0; tensor.dtype() == DType::f32 && i < tensor.count(); ++i)
        tensor.as<float>()[i] = static_cast<float>(Rng(5, 0).uniform(draws++)) - 0.5f;
    };
    for (const ParamRow& row : gpt.params().rows()) fill(gpt.params().row_value(row));
    for (const StateRow& row : gpt.state().rows()) fill(row.value);
    CheckpointState state;
    state.step = 3;
    state.config = json(to_json(config));
    save_checkpoint(folder_ / "run", 3, {gpt.params(), gpt.state(), {}, {}}, state, 0);
    return folder_ / "run/checkpoints/step_00000003";
  }

  struct Options {
    DType dtype = DType::f32;
    int64_t shard_bytes = 5000000000;
    const Tokenizer* tokenizer = nullptr;
    bool custom = false;
  };
  ExportedFiles export_to(const std::string& name, const Config& config, const Options& options) {
    return export_model({.checkpoint = save(config),
                         .out = folder_ / name,
                         .config = config,
                         .family = options.custom ? custom_family() : *choose_family(config).family,
                         .dtype = options.dtype,
                         .shard_bytes = options.shard_bytes,
                         .tokenizer = options.tokenizer,
                         .card = {.name = "run", .model = "tiny"}});
  }
  ReadTensors exported(const Config& config, const Options& options) {
    fs::remove_all(folder_ / "hf");
    export_to("hf", config, options);
    ReadTensors tensors;
    read_tensors(folder_ / "hf/model.safetensors", tensors);
    return tensors;
  }
  ReadTensors saved(const Config& config) {
    ReadTensors tensors;
    read_tensors(save(config) / "model.safetensors", tensors);
    return tensors;
  }
  json read(const std::string& name) const { return json::parse(read_text_file(folder_ / name)); }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  TemporaryFolder folder_{memory_folder()};
};

}  // namespace gptmoe::testing
