#include "huggingface/family_names.h"

#include <cctype>
#include <map>

namespace gptmoe {
namespace {

using Names = std::vector<TensorName>;

// Tensors that have the same name in the class.
Names same(std::initializer_list<const char*> names) {
  Names out;
  for (const char* name : names) out.push_back({name, name});
  return out;
}

Names join(std::initializer_list<Names> parts) {
  Names out;
  for (const Names& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

const Names& backbone() {
  static const Names names =
      same({"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight",
            "model.layers.{layer}.input_layernorm.weight", "model.layers.{layer}.post_attention_layernorm.weight",
            "model.layers.{layer}.self_attn.q_proj.weight", "model.layers.{layer}.self_attn.k_proj.weight",
            "model.layers.{layer}.self_attn.v_proj.weight", "model.layers.{layer}.self_attn.o_proj.weight"});
  return names;
}

const Names& attention_biases() {
  static const Names names =
      same({"model.layers.{layer}.self_attn.q_proj.bias", "model.layers.{layer}.self_attn.k_proj.bias",
            "model.layers.{layer}.self_attn.v_proj.bias", "model.layers.{layer}.self_attn.o_proj.bias"});
  return names;
}

const Names& norm_biases() {
  static const Names names = same({"model.norm.bias", "model.layers.{layer}.input_layernorm.bias",
                                   "model.layers.{layer}.post_attention_layernorm.bias"});
  return names;
}

const Names& qk_norms() {
  static const Names names =
      same({"model.layers.{layer}.self_attn.q_norm.weight", "model.layers.{layer}.self_attn.k_norm.weight"});
  return names;
}

const Names& dense_mlp() {
  static const Names names =
      same({"model.layers.{layer}.mlp.gate_proj.weight", "model.layers.{layer}.mlp.up_proj.weight",
            "model.layers.{layer}.mlp.down_proj.weight"});
  return names;
}

const Names& experts() {
  static const Names names =
      same({"model.layers.{layer}.mlp.gate.weight", "model.layers.{layer}.mlp.experts.{expert}.gate_proj.weight",
            "model.layers.{layer}.mlp.experts.{expert}.up_proj.weight",
            "model.layers.{layer}.mlp.experts.{expert}.down_proj.weight"});
  return names;
}

const Names& mixtral_experts() {
  static const Names names = {
      {"model.layers.{layer}.mlp.gate.weight", "model.layers.{layer}.block_sparse_moe.gate.weight"},
      {"model.layers.{layer}.mlp.experts.{expert}.gate_proj.weight",
       "model.layers.{layer}.block_sparse_moe.experts.{expert}.w1.weight"},
      {"model.layers.{layer}.mlp.experts.{expert}.up_proj.weight",
       "model.layers.{layer}.block_sparse_moe.experts.{expert}.w3.weight"},
      {"model.layers.{layer}.mlp.experts.{expert}.down_proj.weight",
       "model.layers.{layer}.block_sparse_moe.experts.{expert}.w2.weight"}};
  return names;
}

const Names& shared_experts() {
  static const Names names = same({"model.layers.{layer}.mlp.shared_experts.gate_proj.weight",
                                   "model.layers.{layer}.mlp.shared_experts.up_proj.weight",
                                   "model.layers.{layer}.mlp.shared_experts.down_proj.weight"});
  return names;
}

// The class multiplies the shared experts' output by the sigmoid of a gate. With zero weights, the sigmoid is 1/2.
const Names& qwen2_shared_experts() {
  static const Names names = {{"model.layers.{layer}.mlp.shared_experts.gate_proj.weight",
                               "model.layers.{layer}.mlp.shared_expert.gate_proj.weight"},
                              {"model.layers.{layer}.mlp.shared_experts.up_proj.weight",
                               "model.layers.{layer}.mlp.shared_expert.up_proj.weight"},
                              {"model.layers.{layer}.mlp.shared_experts.down_proj.weight",
                               "model.layers.{layer}.mlp.shared_expert.down_proj.weight", Change::doubled}};
  return names;
}

// Router state. Evaluation needs the first three only.
const Names& router_state() {
  static const Names names =
      join({same({"model.layers.{layer}.mlp.default_vectors", "model.layers.{layer}.mlp.gate.e_score_correction_bias",
                  "model.layers.{layer}.mlp.gate.thresholds"}),
            {{"model.layers.{layer}.mlp.gate.sampler", ""},
             {"model.layers.{layer}.mlp.gate.thresholds.steps", ""},
             {"model.l1_coefficient", ""}}});
  return names;
}

const Names& sampler() {
  static const Names names = {{"model.layers.{layer}.mlp.gate.sampler", ""}};
  return names;
}

}  // namespace

const Names& olmoe_names() {
  static const Names names = join({backbone(), attention_biases(), qk_norms(), experts()});
  return names;
}

const Names& mixtral_names() {
  static const Names names = join({backbone(), mixtral_experts()});
  return names;
}

const Names& qwen2_moe_names() {
  static const Names names = join({backbone(), dense_mlp(), experts(), qwen2_shared_experts()});
  return names;
}

const Names& qwen3_moe_names() {
  static const Names names = join({backbone(), attention_biases(), qk_norms(), dense_mlp(), experts()});
  return names;
}

const Names& qwen3_names() {
  static const Names names = join({backbone(), attention_biases(), qk_norms(), dense_mlp()});
  return names;
}

const Names& phimoe_names() {
  static const Names names = join({backbone(), attention_biases(), norm_biases(), mixtral_experts(), sampler()});
  return names;
}

const Names& llama_names() {
  static const Names names = join({backbone(), attention_biases(), dense_mlp()});
  return names;
}

const Names& stablelm_names() {
  static const Names names = join({backbone(), norm_biases(), dense_mlp()});
  return names;
}

const Names& gpt_neox_names() {
  static const Names names = {
      {"model.embed_tokens.weight", "gpt_neox.embed_in.weight"},
      {"lm_head.weight", "embed_out.weight"},
      {"model.norm.weight", "gpt_neox.final_layer_norm.weight"},
      {"model.norm.bias", "gpt_neox.final_layer_norm.bias"},
      {"model.layers.{layer}.input_layernorm.weight", "gpt_neox.layers.{layer}.input_layernorm.weight"},
      {"model.layers.{layer}.input_layernorm.bias", "gpt_neox.layers.{layer}.input_layernorm.bias"},
      {"model.layers.{layer}.post_attention_layernorm.weight",
       "gpt_neox.layers.{layer}.post_attention_layernorm.weight"},
      {"model.layers.{layer}.post_attention_layernorm.bias", "gpt_neox.layers.{layer}.post_attention_layernorm.bias"},
      {"model.layers.{layer}.self_attn.q_proj.weight", "gpt_neox.layers.{layer}.attention.query_key_value.weight",
       Change::query_rows},
      {"model.layers.{layer}.self_attn.k_proj.weight", "gpt_neox.layers.{layer}.attention.query_key_value.weight",
       Change::key_rows},
      {"model.layers.{layer}.self_attn.v_proj.weight", "gpt_neox.layers.{layer}.attention.query_key_value.weight",
       Change::value_rows},
      {"model.layers.{layer}.self_attn.q_proj.bias", "gpt_neox.layers.{layer}.attention.query_key_value.bias",
       Change::query_rows},
      {"model.layers.{layer}.self_attn.k_proj.bias", "gpt_neox.layers.{layer}.attention.query_key_value.bias",
       Change::key_rows},
      {"model.layers.{layer}.self_attn.v_proj.bias", "gpt_neox.layers.{layer}.attention.query_key_value.bias",
       Change::value_rows},
      {"model.layers.{layer}.self_attn.o_proj.weight", "gpt_neox.layers.{layer}.attention.dense.weight"},
      {"model.layers.{layer}.self_attn.o_proj.bias", "gpt_neox.layers.{layer}.attention.dense.bias"},
      {"model.layers.{layer}.mlp.up_proj.weight", "gpt_neox.layers.{layer}.mlp.dense_h_to_4h.weight"},
      {"model.layers.{layer}.mlp.down_proj.weight", "gpt_neox.layers.{layer}.mlp.dense_4h_to_h.weight"}};
  return names;
}

const Names& gptmoe_names() {
  static const Names names = join({backbone(), attention_biases(), norm_biases(), qk_norms(), dense_mlp(), experts(),
                                   shared_experts(), router_state()});
  return names;
}

std::optional<std::string> renamed(const std::string& from, const std::string& to, const std::string& name) {
  std::map<std::string, std::string> numbers;
  size_t at = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] != '{') {
      if (at >= name.size() || name[at++] != from[i]) return std::nullopt;
      continue;
    }
    const size_t end = from.find('}', i);
    std::string& number = numbers[from.substr(i, end + 1 - i)];
    while (at < name.size() && std::isdigit(static_cast<unsigned char>(name[at]))) number += name[at++];
    if (number.empty()) return std::nullopt;
    i = end;
  }
  if (at != name.size()) return std::nullopt;
  std::string out = to;
  for (const auto& [placeholder, number] : numbers)
    if (const size_t place = out.find(placeholder); place != out.npos) out.replace(place, placeholder.size(), number);
  return out;
}

}  // namespace gptmoe
