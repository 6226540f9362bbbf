#include "huggingface/families.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace gptmoe {
namespace {

using nlohmann::ordered_json;

// ---- Zeros -------------------------------------------------------------------------------------------------------

std::vector<ZeroTensor> qwen2_moe_zeros(const ModelConfig& model) {
  std::vector<ZeroTensor> zeros;
  const int64_t C = model.hidden_size;
  for (int64_t layer = model.first_k_dense_replace; layer < model.num_hidden_layers; ++layer) {
    const std::string mlp = text("model.layers.", layer, ".mlp.");
    zeros.push_back({mlp + "shared_expert_gate.weight", {1, C}});
    if (model.n_shared_experts > 0) continue;
    zeros.push_back({mlp + "shared_expert.gate_proj.weight", {1, C}});
    zeros.push_back({mlp + "shared_expert.up_proj.weight", {1, C}});
    zeros.push_back({mlp + "shared_expert.down_proj.weight", {C, 1}});
  }
  return zeros;
}

std::vector<ZeroTensor> gpt_neox_zeros(const ModelConfig& model) {
  std::vector<ZeroTensor> zeros;
  for (int64_t layer = 0; layer < model.num_hidden_layers; ++layer) {
    const std::string mlp = text("gpt_neox.layers.", layer, ".mlp.");
    zeros.push_back({mlp + "dense_h_to_4h.bias", {model.intermediate_size}});
    zeros.push_back({mlp + "dense_4h_to_h.bias", {model.hidden_size}});
  }
  return zeros;
}

// ---- What a class computes -----------------------------------------------------------------------------------------

class Misfits {
 public:
  explicit Misfits(const Config& config) : config_(config), model_(config.model) {}
  std::vector<std::string> take() { return std::move(list_); }

  void need(bool holds, const std::string& what) {
    if (!holds) list_.push_back(what);
  }
  void norm(const std::string& type) { need(model_.norm_type == type, "model.norm_type " + model_.norm_type); }
  void activation(const std::string& act) { need(model_.hidden_act == act, "model.hidden_act " + model_.hidden_act); }
  void qk_norm(bool on) { need(model_.qk_norm == on, on ? "model.qk_norm false" : "model.qk_norm true"); }
  void no_attention_bias() { need(!model_.attention_bias, "model.attention_bias true"); }
  void heads_fill_width() {
    need(model_.num_attention_heads * model_.head_dim == model_.hidden_size,
         text("model.head_dim ", model_.head_dim, " (not hidden_size / num_attention_heads)"));
  }
  void heads_divide_width() {
    need(model_.hidden_size % model_.num_attention_heads == 0,
         text("model.num_attention_heads ", model_.num_attention_heads, " (does not divide hidden_size)"));
  }
  void dense() { need(model_.moe_layers() == 0, "experts"); }
  void router(const std::string& type) {
    need(model_.moe_layers() > 0, "no experts");
    if (model_.moe_layers() > 0) need(config_.router.type == type, "router.type " + config_.router.type);
  }
  void only_moe_layers() {
    need(model_.first_k_dense_replace == 0, text("model.first_k_dense_replace ", model_.first_k_dense_replace));
  }
  void no_shared_experts() {
    need(model_.n_shared_experts == 0, text("model.n_shared_experts ", model_.n_shared_experts));
  }

 private:
  const Config& config_;
  const ModelConfig& model_;
  std::vector<std::string> list_;
};

std::vector<std::string> llama_misfits(const Config& config) {
  Misfits misfits(config);
  misfits.dense();
  misfits.norm("rmsnorm");
  misfits.activation("silu");
  misfits.qk_norm(false);
  misfits.heads_divide_width();
  return misfits.take();
}

std::vector<std::string> stablelm_misfits(const Config& config) {
  Misfits misfits(config);
  misfits.dense();
  misfits.norm("layernorm");
  misfits.activation("silu");
  misfits.qk_norm(false);
  misfits.no_attention_bias();
  misfits.heads_fill_width();
  return misfits.take();
}

std::vector<std::string> gpt_neox_misfits(const Config& config) {
  const ModelConfig& model = config.model;
  Misfits misfits(config);
  misfits.dense();
  misfits.norm("layernorm");
  misfits.activation("gelu");
  misfits.qk_norm(false);
  misfits.heads_fill_width();
  misfits.need(model.num_key_value_heads == model.num_attention_heads,
               text("model.num_key_value_heads ", model.num_key_value_heads));
  return misfits.take();
}

std::vector<std::string> olmoe_misfits(const Config& config) {
  Misfits misfits(config);
  misfits.router("topk");
  misfits.norm("rmsnorm");
  misfits.activation("silu");
  misfits.qk_norm(true);
  misfits.heads_fill_width();
  misfits.only_moe_layers();
  misfits.no_shared_experts();
  return misfits.take();
}

std::vector<std::string> mixtral_misfits(const Config& config) {
  Misfits misfits(config);
  misfits.router("topk");
  misfits.need(config.model.norm_topk_prob, "model.norm_topk_prob false");
  misfits.norm("rmsnorm");
  misfits.activation("silu");
  misfits.qk_norm(false);
  misfits.no_attention_bias();
  misfits.only_moe_layers();
  misfits.no_shared_experts();
  return misfits.take();
}

std::vector<std::string> qwen2_moe_misfits(const Config& config) {
  Misfits misfits(config);
  misfits.router("topk");
  misfits.norm("rmsnorm");
  misfits.activation("silu");
  misfits.qk_norm(false);
  misfits.no_attention_bias();
  misfits.heads_fill_width();
  return misfits.take();
}

std::vector<std::string> phimoe_misfits(const Config& config) {
  const ModelConfig& model = config.model;
  Misfits misfits(config);
  misfits.router("sparsemixer");
  misfits.need(model.num_experts_per_tok == 2, text("model.num_experts_per_tok ", model.num_experts_per_tok));
  misfits.norm("layernorm");
  misfits.activation("silu");
  misfits.qk_norm(false);
  misfits.heads_fill_width();
  misfits.only_moe_layers();
  misfits.no_shared_experts();
  return misfits.take();
}

// ---- config.json ---------------------------------------------------------------------------------------------------

void describe_llama(const Config& config, ordered_json& json) {
  json["hidden_act"] = "silu";
  json["intermediate_size"] = config.model.intermediate_size;
  json["rms_norm_eps"] = config.model.rms_norm_eps;
  json["head_dim"] = config.model.head_dim;
  json["attention_bias"] = config.model.attention_bias;
  json["mlp_bias"] = false;
}

// Rotates whole heads: by default these classes rotate a quarter of each.
void rotate_whole_heads(ordered_json& json) {
  json["partial_rotary_factor"] = 1.0;
  json["rope_parameters"]["partial_rotary_factor"] = 1.0;
}

void describe_stablelm(const Config& config, ordered_json& json) {
  json["hidden_act"] = "silu";
  json["intermediate_size"] = config.model.intermediate_size;
  json["layer_norm_eps"] = config.model.rms_norm_eps;
  json["use_qkv_bias"] = false;
  json["qk_layernorm"] = false;
  json["use_parallel_residual"] = false;
  json["hidden_dropout"] = 0.0;
  rotate_whole_heads(json);
}

void describe_gpt_neox(const Config& config, ordered_json& json) {
  json["hidden_act"] = "gelu_pytorch_tanh";
  json["intermediate_size"] = config.model.intermediate_size;
  json["layer_norm_eps"] = config.model.rms_norm_eps;
  json["attention_bias"] = config.model.attention_bias;
  json["use_parallel_residual"] = false;
  json["hidden_dropout"] = 0.0;
  json["rotary_pct"] = 1.0;
  json["rotary_emb_base"] = config.model.rope_theta;
  rotate_whole_heads(json);
}

void describe_moe(const Config& config, ordered_json& json) {
  json["hidden_act"] = "silu";
  json["rms_norm_eps"] = config.model.rms_norm_eps;
  json["num_experts_per_tok"] = config.model.num_experts_per_tok;
  json["router_aux_loss_coef"] = config.model.router_aux_loss_coef;
  json["output_router_logits"] = false;
}

void describe_olmoe(const Config& config, ordered_json& json) {
  describe_moe(config, json);
  json["intermediate_size"] = config.model.moe_intermediate_size;
  json["num_experts"] = config.model.num_experts;
  json["norm_topk_prob"] = config.model.norm_topk_prob;
  json["attention_bias"] = config.model.attention_bias;
  json["clip_qkv"] = nullptr;
}

void describe_mixtral(const Config& config, ordered_json& json) {
  describe_moe(config, json);
  json["intermediate_size"] = config.model.moe_intermediate_size;
  json["num_local_experts"] = config.model.num_experts;
  json["head_dim"] = config.model.head_dim;
  json["sliding_window"] = nullptr;
  json["router_jitter_noise"] = 0.0;
}

void describe_qwen2_moe(const Config& config, ordered_json& json) {
  const ModelConfig& model = config.model;
  describe_moe(config, json);
  json["intermediate_size"] = std::max<int64_t>(model.intermediate_size, 1);  // of the dense layers, if there are any
  json["moe_intermediate_size"] = model.moe_intermediate_size;
  json["shared_expert_intermediate_size"] = std::max<int64_t>(model.n_shared_experts * model.moe_intermediate_size, 1);
  json["num_experts"] = model.num_experts;
  json["norm_topk_prob"] = model.norm_topk_prob;
  json["decoder_sparse_step"] = 1;
  json["mlp_only_layers"] = ordered_json::array();
  for (int64_t layer = 0; layer < model.first_k_dense_replace; ++layer) json["mlp_only_layers"].push_back(layer);
  json["qkv_bias"] = false;
  json["use_sliding_window"] = false;
}

void describe_phimoe(const Config& config, ordered_json& json) {
  describe_moe(config, json);
  json["intermediate_size"] = config.model.moe_intermediate_size;
  json["num_local_experts"] = config.model.num_experts;
  json["attention_bias"] = config.model.attention_bias;
  json["lm_head_bias"] = false;
  json["sliding_window"] = nullptr;
  json["router_jitter_noise"] = config.router.block->at("jitter");
  json["input_jitter_noise"] = 0.0;
}

// Our own keys, as in the run's config.
void describe_custom(const Config& config, ordered_json& json) {
  const ordered_json run = to_json(config);
  for (const auto& [key, value] : run["model"].items()) json[key] = value;
  json["router"] = run["router"];
  json["auto_map"] = {{"AutoConfig", "configuration_gptmoe.GptmoeConfig"},
                      {"AutoModel", "modeling_gptmoe.GptmoeModel"},
                      {"AutoModelForCausalLM", "modeling_gptmoe.GptmoeForCausalLM"}};
}

}  // namespace

const std::vector<Family>& stock_families() {
  static const std::vector<Family> families = {
      {"olmoe", "OlmoeForCausalLM", olmoe_names(), olmoe_misfits, describe_olmoe},
      {"mixtral", "MixtralForCausalLM", mixtral_names(), mixtral_misfits, describe_mixtral},
      {"qwen2_moe", "Qwen2MoeForCausalLM", qwen2_moe_names(), qwen2_moe_misfits, describe_qwen2_moe, qwen2_moe_zeros},
      {"phimoe", "PhimoeForCausalLM", phimoe_names(), phimoe_misfits, describe_phimoe},
      {"llama", "LlamaForCausalLM", llama_names(), llama_misfits, describe_llama},
      {"stablelm", "StableLmForCausalLM", stablelm_names(), stablelm_misfits, describe_stablelm},
      {"gpt_neox", "GPTNeoXForCausalLM", gpt_neox_names(), gpt_neox_misfits, describe_gpt_neox, gpt_neox_zeros}};
  return families;
}

const Family& custom_family() {
  static const Family family = {"gptmoe", "GptmoeForCausalLM", gptmoe_names(),
                                [](const Config&) { return std::vector<std::string>(); }, describe_custom};
  return family;
}

FamilyChoice choose_family(const Config& config) {
  const Family* nearest = nullptr;
  std::vector<std::string> fewest;
  for (const Family& family : stock_families()) {
    std::vector<std::string> misfits = family.misfits(config);
    if (misfits.empty()) return {&family, ""};
    if (nearest && misfits.size() >= fewest.size()) continue;
    nearest = &family;
    fewest = std::move(misfits);
  }
  std::string list;
  for (const std::string& what : fewest) list += (list.empty() ? "" : ", ") + what;
  return {&custom_family(),
          text("no class of transformers computes this model; ", nearest->architecture, ", the nearest, lacks ", list)};
}

}  // namespace gptmoe
