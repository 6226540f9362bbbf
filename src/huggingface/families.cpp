#include "huggingface/families.h"

#include "base/check.h"

namespace gptmoe {
namespace {

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
  explicit Misfits(const Config& config) : config_(config), model_(config.model) {
    need(model_.logit_softcap == 0, text("model.logit_softcap ", model_.logit_softcap));
  }
  std::vector<std::string> take() { return std::move(list_); }

  void need(bool holds, const std::string& what) {
    if (!holds) list_.push_back(what);
  }
  void norm(const std::string& type) { need(model_.norm_type == type, "model.norm_type " + model_.norm_type); }
  void activation(const std::string& act) { need(model_.hidden_act == act, "model.hidden_act " + model_.hidden_act); }
  void no_qk_norm() { need(!model_.qk_norm, "model.qk_norm true"); }
  void qk_norm(const std::string& scope) {
    need(model_.qk_norm, "model.qk_norm false");
    need(!model_.qk_norm || model_.qk_norm_scope == scope, "model.qk_norm_scope " + model_.qk_norm_scope);
  }
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
  misfits.no_qk_norm();
  misfits.heads_divide_width();
  return misfits.take();
}

std::vector<std::string> qwen3_misfits(const Config& config) {
  Misfits misfits(config);
  misfits.dense();
  misfits.norm("rmsnorm");
  misfits.activation("silu");
  misfits.qk_norm("head");
  return misfits.take();
}

std::vector<std::string> stablelm_misfits(const Config& config) {
  Misfits misfits(config);
  misfits.dense();
  misfits.norm("layernorm");
  misfits.activation("silu");
  misfits.no_qk_norm();
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
  misfits.no_qk_norm();
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
  misfits.qk_norm("row");
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
  misfits.no_qk_norm();
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
  misfits.no_qk_norm();
  misfits.no_attention_bias();
  misfits.heads_fill_width();
  return misfits.take();
}

std::vector<std::string> qwen3_moe_misfits(const Config& config) {
  Misfits misfits(config);
  misfits.router("topk");
  misfits.norm("rmsnorm");
  misfits.activation("silu");
  misfits.qk_norm("head");
  misfits.no_shared_experts();
  return misfits.take();
}

std::vector<std::string> phimoe_misfits(const Config& config) {
  const ModelConfig& model = config.model;
  Misfits misfits(config);
  misfits.router("sparsemixer");
  misfits.need(model.num_experts_per_tok == 2, text("model.num_experts_per_tok ", model.num_experts_per_tok));
  misfits.norm("layernorm");
  misfits.activation("silu");
  misfits.no_qk_norm();
  misfits.heads_fill_width();
  misfits.only_moe_layers();
  misfits.no_shared_experts();
  return misfits.take();
}

}  // namespace

const std::vector<Family>& stock_families() {
  static const std::vector<Family> families = {
      {"olmoe", "OlmoeForCausalLM", olmoe_names(), olmoe_misfits, olmoe_config()},
      {"mixtral", "MixtralForCausalLM", mixtral_names(), mixtral_misfits, mixtral_config()},
      {"qwen2_moe", "Qwen2MoeForCausalLM", qwen2_moe_names(), qwen2_moe_misfits, qwen2_moe_config(), qwen2_moe_zeros},
      {"qwen3_moe", "Qwen3MoeForCausalLM", qwen3_moe_names(), qwen3_moe_misfits, qwen3_moe_config()},
      {"phimoe", "PhimoeForCausalLM", phimoe_names(), phimoe_misfits, phimoe_config()},
      {"llama", "LlamaForCausalLM", llama_names(), llama_misfits, llama_config()},
      {"qwen3", "Qwen3ForCausalLM", qwen3_names(), qwen3_misfits, qwen3_config()},
      {"stablelm", "StableLmForCausalLM", stablelm_names(), stablelm_misfits, stablelm_config()},
      {"gpt_neox", "GPTNeoXForCausalLM", gpt_neox_names(), gpt_neox_misfits, gpt_neox_config(), gpt_neox_zeros}};
  return families;
}

const Family& custom_family() {
  static const Family family = {"gptmoe", "GptmoeForCausalLM", gptmoe_names(),
                                [](const Config&) { return std::vector<std::string>(); }, custom_config()};
  return family;
}

const Family* family_of(const std::string& model_type) {
  if (model_type == custom_family().model_type) return &custom_family();
  for (const Family& family : stock_families())
    if (model_type == family.model_type) return &family;
  return nullptr;
}

std::string known_model_types() {
  std::string list;
  for (const Family& family : stock_families()) list += text(family.model_type, ", ");
  return list + custom_family().model_type;
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
