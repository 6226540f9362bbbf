#include "huggingface/family_configs.h"

#include <algorithm>
#include <set>

#include "base/check.h"

namespace gptmoe {
namespace {

using nlohmann::ordered_json;

// ---- What all classes have ---------------------------------------------------------------------------------------

// The RoPE settings of a class for keys that config.json lacks.
struct RopeDefaults {
  double theta = 10000;
  double rotated = 1;  // the share of each head that is rotated
};

// Reads the RoPE settings. Older versions of transformers write rope_theta and rope_scaling, newer ones
// rope_parameters. GPT-NeoX had keys of its own.
void understand_rope(TheirConfig& theirs, const RopeDefaults& defaults, ModelConfig& model) {
  for (const std::string object : {"rope_parameters", "rope_scaling"}) {
    if (theirs.has(object) && !theirs.value(object).is_object())
      theirs.refuse(object, theirs.value(object), "it must be an object or null");
    for (const char* type : {".rope_type", ".type"}) theirs.need(object + type, "default", {"default"});
  }
  std::string named;
  model.rope_theta = defaults.theta;
  for (const std::string key : {"rope_parameters.rope_theta", "rope_theta", "rotary_emb_base"}) {
    if (!theirs.has(key)) continue;
    const double theta = theirs.number(key, 0);
    if (!named.empty() && theta != model.rope_theta)
      theirs.refuse(key, theta, text(named, " is ", model.rope_theta, "; remove the wrong one"));
    named = key;
    model.rope_theta = theta;
  }
  bool said = false;
  for (const std::string key : {"rope_parameters.partial_rotary_factor", "partial_rotary_factor", "rotary_pct"}) {
    if (!theirs.has(key)) continue;
    said = true;
    theirs.need(key, 1, {1});
  }
  if (!said) theirs.need("partial_rotary_factor", defaults.rotated, {1});
}

void understand_backbone(TheirConfig& theirs, const RopeDefaults& rope, ModelConfig& model) {
  theirs.need("quantization_config", nullptr, {nullptr});
  model.vocab_size = theirs.count("vocab_size");
  model.hidden_size = theirs.count("hidden_size");
  model.num_hidden_layers = theirs.count("num_hidden_layers");
  model.num_attention_heads = theirs.count("num_attention_heads");
  model.max_position_embeddings = theirs.count("max_position_embeddings");
  model.tie_word_embeddings = theirs.flag("tie_word_embeddings", false);
  if (const double range = theirs.number("initializer_range", 0); range > 0) model.initializer_range = range;
  understand_rope(theirs, rope, model);
  if (!theirs.has("layer_types")) return;
  for (const nlohmann::json& type : theirs.value("layer_types"))
    if (type != "full_attention") theirs.refuse("layer_types", type, "gptmoe computes \"full_attention\"");
}

// For classes whose heads may have any size.
void understand_head_dim(TheirConfig& theirs, ModelConfig& model) {
  const int64_t whole = model.hidden_size / model.num_attention_heads;
  if (!theirs.has("head_dim") && whole * model.num_attention_heads != model.hidden_size)
    theirs.refuse("num_attention_heads", model.num_attention_heads,
                  text("it must divide hidden_size, ", model.hidden_size));
  model.head_dim = theirs.count("head_dim", whole);
}

// For classes whose heads together are as wide as the model.
void understand_whole_heads(TheirConfig& theirs, ModelConfig& model) {
  understand_head_dim(theirs, model);
  if (model.head_dim * model.num_attention_heads != model.hidden_size)
    theirs.refuse("head_dim", model.head_dim, "the class has hidden_size / num_attention_heads");
}

// Refuses a sliding window, unless it holds every position and so has no effect.
void need_no_window(TheirConfig& theirs, const ModelConfig& model) {
  if (theirs.has("sliding_window") && theirs.count("sliding_window") < model.max_position_embeddings)
    theirs.refuse("sliding_window", theirs.value("sliding_window"),
                  "gptmoe computes attention without a window (null, or at least max_position_embeddings)");
}

void understand_rms_norm(TheirConfig& theirs, double fallback, ModelConfig& model) {
  model.norm_type = "rmsnorm";
  model.rms_norm_eps = theirs.number("rms_norm_eps", fallback);
}

void understand_layer_norm(TheirConfig& theirs, const char* key, ModelConfig& model) {
  model.norm_type = "layernorm";
  model.rms_norm_eps = theirs.number(key, 1e-5);
}

void need_silu(TheirConfig& theirs) { theirs.need("hidden_act", "silu", {"silu", "swish"}); }

// ---- Dense classes -----------------------------------------------------------------------------------------------

void describe_llama(const Config& config, ordered_json& json) {
  json["hidden_act"] = "silu";
  json["intermediate_size"] = config.model.intermediate_size;
  json["rms_norm_eps"] = config.model.rms_norm_eps;
  json["head_dim"] = config.model.head_dim;
  json["attention_bias"] = config.model.attention_bias;
  json["mlp_bias"] = false;
}

void understand_llama(TheirConfig& theirs, Config& config) {
  ModelConfig& model = config.model;
  understand_backbone(theirs, {}, model);
  understand_head_dim(theirs, model);
  understand_rms_norm(theirs, 1e-6, model);
  need_silu(theirs);
  model.num_key_value_heads = theirs.count("num_key_value_heads", model.num_attention_heads);
  model.intermediate_size = theirs.count("intermediate_size");
  model.attention_bias = theirs.flag("attention_bias", false);
  theirs.need("mlp_bias", false, {false});
}

void describe_qwen3(const Config& config, ordered_json& json) {
  json["hidden_act"] = "silu";
  json["intermediate_size"] = config.model.intermediate_size;
  json["rms_norm_eps"] = config.model.rms_norm_eps;
  json["head_dim"] = config.model.head_dim;
  json["attention_bias"] = config.model.attention_bias;
  json["use_sliding_window"] = false;
}

void understand_head_norm(ModelConfig& model) {
  model.qk_norm = true;
  model.qk_norm_scope = "head";
}

void understand_qwen3(TheirConfig& theirs, Config& config) {
  ModelConfig& model = config.model;
  understand_backbone(theirs, {}, model);
  model.head_dim = theirs.count("head_dim", 128);
  understand_rms_norm(theirs, 1e-6, model);
  need_silu(theirs);
  model.num_key_value_heads = theirs.count("num_key_value_heads", model.num_attention_heads);
  model.intermediate_size = theirs.count("intermediate_size");
  model.attention_bias = theirs.flag("attention_bias", false);
  understand_head_norm(model);
  if (theirs.flag("use_sliding_window", false)) need_no_window(theirs, model);
  for (const char* key : {"sliding_window", "max_window_layers"}) theirs.has(key);
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

void understand_stablelm(TheirConfig& theirs, Config& config) {
  ModelConfig& model = config.model;
  understand_backbone(theirs, {.rotated = 0.25}, model);
  understand_whole_heads(theirs, model);
  understand_layer_norm(theirs, "layer_norm_eps", model);
  need_silu(theirs);
  model.num_key_value_heads = theirs.count("num_key_value_heads");
  model.intermediate_size = theirs.count("intermediate_size");
  theirs.need("use_qkv_bias", false, {false});
  theirs.need("qk_layernorm", false, {false});
  theirs.need("use_parallel_residual", false, {false});
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

void understand_gpt_neox(TheirConfig& theirs, Config& config) {
  ModelConfig& model = config.model;
  understand_backbone(theirs, {.rotated = 0.25}, model);
  understand_whole_heads(theirs, model);
  understand_layer_norm(theirs, "layer_norm_eps", model);
  // GELU with tanh has three names.
  theirs.need("hidden_act", "gelu", {"gelu_pytorch_tanh", "gelu_new", "gelu_fast"});
  model.hidden_act = "gelu";
  model.num_key_value_heads = model.num_attention_heads;
  theirs.need("num_key_value_heads", model.num_attention_heads, {model.num_attention_heads});
  model.intermediate_size = theirs.count("intermediate_size");
  model.attention_bias = theirs.flag("attention_bias", true);
  theirs.need("use_parallel_residual", true, {false});
}

// ---- MoE classes -------------------------------------------------------------------------------------------------

void describe_moe(const Config& config, ordered_json& json) {
  json["hidden_act"] = "silu";
  json["rms_norm_eps"] = config.model.rms_norm_eps;
  json["num_experts_per_tok"] = config.model.num_experts_per_tok;
  json["router_aux_loss_coef"] = config.model.router_aux_loss_coef;
  json["output_router_logits"] = false;
}

void understand_moe(TheirConfig& theirs, const char* experts, Config& config) {
  ModelConfig& model = config.model;
  config.router.type = "topk";
  need_silu(theirs);
  understand_rms_norm(theirs, 1e-5, model);
  model.num_experts = theirs.count(experts);
  model.num_experts_per_tok = theirs.count("num_experts_per_tok");
  model.router_aux_loss_coef = theirs.number("router_aux_loss_coef", model.router_aux_loss_coef);
}

void describe_olmoe(const Config& config, ordered_json& json) {
  describe_moe(config, json);
  json["intermediate_size"] = config.model.moe_intermediate_size;
  json["num_experts"] = config.model.num_experts;
  json["norm_topk_prob"] = config.model.norm_topk_prob;
  json["attention_bias"] = config.model.attention_bias;
  json["clip_qkv"] = nullptr;
}

void understand_olmoe(TheirConfig& theirs, Config& config) {
  ModelConfig& model = config.model;
  understand_backbone(theirs, {}, model);
  understand_whole_heads(theirs, model);
  understand_moe(theirs, "num_experts", config);
  model.num_key_value_heads = theirs.count("num_key_value_heads", model.num_attention_heads);
  model.moe_intermediate_size = theirs.count("intermediate_size");
  model.norm_topk_prob = theirs.flag("norm_topk_prob", false);
  model.attention_bias = theirs.flag("attention_bias", false);
  model.qk_norm = true;
  theirs.need("clip_qkv", nullptr, {nullptr});
}

void describe_mixtral(const Config& config, ordered_json& json) {
  describe_moe(config, json);
  json["intermediate_size"] = config.model.moe_intermediate_size;
  json["num_local_experts"] = config.model.num_experts;
  json["head_dim"] = config.model.head_dim;
  json["sliding_window"] = nullptr;
  json["router_jitter_noise"] = 0.0;
}

// Mixtral's gates always sum to 1.
void understand_mixtral(TheirConfig& theirs, Config& config) {
  ModelConfig& model = config.model;
  understand_backbone(theirs, {.theta = 1e6}, model);
  understand_head_dim(theirs, model);
  understand_moe(theirs, "num_local_experts", config);
  model.num_key_value_heads = theirs.count("num_key_value_heads");
  model.moe_intermediate_size = theirs.count("intermediate_size");
  model.norm_topk_prob = true;
  need_no_window(theirs, model);
  theirs.has("router_jitter_noise");  // has no effect outside of training
}

// The keys that both MoE classes of Qwen have.
void describe_qwen_moe(const Config& config, ordered_json& json) {
  const ModelConfig& model = config.model;
  describe_moe(config, json);
  json["intermediate_size"] = std::max<int64_t>(model.intermediate_size, 1);  // of the dense layers, if there are any
  json["moe_intermediate_size"] = model.moe_intermediate_size;
  json["num_experts"] = model.num_experts;
  json["norm_topk_prob"] = model.norm_topk_prob;
  json["decoder_sparse_step"] = 1;
  json["mlp_only_layers"] = ordered_json::array();
  for (int64_t layer = 0; layer < model.first_k_dense_replace; ++layer) json["mlp_only_layers"].push_back(layer);
  json["use_sliding_window"] = false;
}

void describe_qwen2_moe(const Config& config, ordered_json& json) {
  const ModelConfig& model = config.model;
  describe_qwen_moe(config, json);
  json["shared_expert_intermediate_size"] = std::max<int64_t>(model.n_shared_experts * model.moe_intermediate_size, 1);
  json["qkv_bias"] = false;
}

void describe_qwen3_moe(const Config& config, ordered_json& json) {
  describe_qwen_moe(config, json);
  json["head_dim"] = config.model.head_dim;
  json["attention_bias"] = config.model.attention_bias;
}

// The number of leading dense layers.
int64_t qwen_moe_dense_layers(TheirConfig& theirs, const ModelConfig& model) {
  theirs.need("decoder_sparse_step", 1, {1});
  const nlohmann::json& list = theirs.value("mlp_only_layers");
  if (!list.is_null() && !list.is_array()) theirs.refuse("mlp_only_layers", list, "it must be a list of layers");
  const auto dense = static_cast<int64_t>(list.size());
  for (int64_t layer = 0; layer < dense; ++layer)
    if (dense > model.num_hidden_layers || std::count(list.begin(), list.end(), layer) != 1)
      theirs.refuse("mlp_only_layers", list, "gptmoe has dense layers before the first MoE layer only: [0, 1, ...]");
  return dense;
}

// Qwen2-MoE always has a shared expert. A model without one is written with a shared expert of width 1 and zero
// weights.
int64_t qwen2_moe_shared_experts(TheirConfig& theirs, const ModelConfig& model) {
  const char* key = "shared_expert_intermediate_size";
  const int64_t width = theirs.count(key), F = model.moe_intermediate_size;
  if (width == 1 && F > 1) return 0;
  if (width % F != 0) theirs.refuse(key, width, text("it must be a multiple of moe_intermediate_size, ", F));
  return width / F;
}

// Newer versions of transformers write num_local_experts for Qwen3-MoE.
void understand_qwen_moe(TheirConfig& theirs, Config& config) {
  ModelConfig& model = config.model;
  understand_moe(theirs, theirs.has("num_local_experts") ? "num_local_experts" : "num_experts", config);
  understand_rms_norm(theirs, 1e-6, model);
  model.num_key_value_heads = theirs.count("num_key_value_heads");
  model.intermediate_size = theirs.count("intermediate_size");
  model.moe_intermediate_size = theirs.count("moe_intermediate_size");
  model.norm_topk_prob = theirs.flag("norm_topk_prob", false);
  model.first_k_dense_replace = qwen_moe_dense_layers(theirs, model);
  if (theirs.flag("use_sliding_window", false)) need_no_window(theirs, model);
  theirs.has("sliding_window");
}

void understand_qwen2_moe(TheirConfig& theirs, Config& config) {
  ModelConfig& model = config.model;
  understand_backbone(theirs, {}, model);
  understand_whole_heads(theirs, model);
  understand_qwen_moe(theirs, config);
  model.n_shared_experts = qwen2_moe_shared_experts(theirs, model);
  theirs.need("qkv_bias", true, {false});
}

void understand_qwen3_moe(TheirConfig& theirs, Config& config) {
  ModelConfig& model = config.model;
  understand_backbone(theirs, {}, model);
  understand_head_dim(theirs, model);
  understand_qwen_moe(theirs, config);
  model.attention_bias = theirs.flag("attention_bias", false);
  understand_head_norm(model);
  theirs.has("max_window_layers");
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

// PhiMoE's sampler takes two experts, and compares logits with the jitter in evaluation too.
void understand_phimoe(TheirConfig& theirs, Config& config) {
  ModelConfig& model = config.model;
  understand_backbone(theirs, {.theta = 1e6}, model);
  understand_whole_heads(theirs, model);
  understand_moe(theirs, "num_local_experts", config);
  theirs.need("num_experts_per_tok", 2, {2});
  understand_layer_norm(theirs, "rms_norm_eps", model);
  model.num_key_value_heads = theirs.count("num_key_value_heads");
  model.moe_intermediate_size = theirs.count("intermediate_size");
  model.attention_bias = theirs.flag("attention_bias", false);
  config.router = {"sparsemixer", nlohmann::json::object({{"jitter", theirs.number("router_jitter_noise", 0.01)}})};
  theirs.need("lm_head_bias", false, {false});
  need_no_window(theirs, model);
  theirs.has("input_jitter_noise");  // has no effect outside of training
}

// ---- Our class ---------------------------------------------------------------------------------------------------

void describe_custom(const Config& config, ordered_json& json) {
  const ordered_json run = to_json(config);
  for (const auto& [key, value] : run["model"].items()) json[key] = value;
  json["router"] = run["router"];
  json["auto_map"] = {{"AutoConfig", "configuration_gptmoe.GptmoeConfig"},
                      {"AutoModel", "modeling_gptmoe.GptmoeModel"},
                      {"AutoModelForCausalLM", "modeling_gptmoe.GptmoeForCausalLM"}};
}

// Every export writes all keys of the model. Keys that only training uses may be absent, since they do not change what
// the weights mean. Older exports lack the newer keys, and their models have the default values of these keys.
void understand_custom(TheirConfig& theirs, Config& config) {
  static const std::set<std::string> kMayBeAbsent = {
      "router_aux_loss_coef", "router_z_loss_coef", "balance_scope", "init",
      "initializer_range",    "output_z_loss_coef", "qk_norm_scope", "logit_softcap"};
  understand_rope(theirs, {}, config.model);
  ordered_json run = to_json(config);
  for (auto& [key, value] : run["model"].items()) {
    if (key == "rope_theta" && theirs.has("rope_parameters.rope_theta")) continue;
    if (!kMayBeAbsent.contains(key)) theirs.require(key);
    if (theirs.has(key)) value = theirs.value(key);
  }
  if (!theirs.value("router").is_object())
    theirs.refuse("router", theirs.value("router"), "it must be the router block");
  run["router"] = theirs.value("router");
  theirs.need("quantization_config", nullptr, {nullptr});
  theirs.has("auto_map");
  config = parse_config(nlohmann::json(run), theirs.file());
}

}  // namespace

std::string their_key(TheirConfig& theirs, const std::string& ours) {
  static const std::vector<std::pair<std::string, const char*>> kOtherNames = {
      {"rope_theta", "rope_parameters.rope_theta"},
      {"rope_theta", "rotary_emb_base"},
      {"rms_norm_eps", "layer_norm_eps"},
      {"num_experts", "num_local_experts"},
      {"moe_intermediate_size", "intermediate_size"},
      {"n_shared_experts", "shared_expert_intermediate_size"},
      {"first_k_dense_replace", "mlp_only_layers"},
      {"router.jitter", "router_jitter_noise"}};
  const std::string section = "model.", key = ours.starts_with(section) ? ours.substr(section.size()) : ours;
  if (theirs.has(key)) return key;
  for (const auto& [name, other] : kOtherNames)
    if (key == name && theirs.has(other)) return other;
  return key;
}

FamilyConfig llama_config() { return {describe_llama, understand_llama}; }
FamilyConfig stablelm_config() { return {describe_stablelm, understand_stablelm}; }
FamilyConfig gpt_neox_config() { return {describe_gpt_neox, understand_gpt_neox}; }
FamilyConfig olmoe_config() { return {describe_olmoe, understand_olmoe}; }
FamilyConfig mixtral_config() { return {describe_mixtral, understand_mixtral}; }
FamilyConfig qwen2_moe_config() { return {describe_qwen2_moe, understand_qwen2_moe}; }
FamilyConfig qwen3_moe_config() { return {describe_qwen3_moe, understand_qwen3_moe}; }
FamilyConfig qwen3_config() { return {describe_qwen3, understand_qwen3}; }
FamilyConfig phimoe_config() { return {describe_phimoe, understand_phimoe}; }
FamilyConfig custom_config() { return {describe_custom, understand_custom}; }

}  // namespace gptmoe
