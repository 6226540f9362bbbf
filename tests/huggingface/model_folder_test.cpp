// What a Hugging Face config.json describes, and what is refused.
#include "huggingface/model_folder.h"

#include "huggingface/import_fixture.h"

namespace gptmoe::testing {
namespace {

class ModelFolderTest : public ImportTest {
 protected:
  void SetUp() override { fs::create_directory(hf()); }
  void write(const json& config) const { write_text_file(hf() / "config.json", config.dump(2)); }
  Config described(const json& config) const {
    write(config);
    return describe_folder(hf()).config;
  }
  // The config.json that an export of one of family_cases() writes.
  static json exported_config(size_t index) {
    const Config config = config_of(json::parse(family_cases()[index].changes));
    return json::parse(config_json(*choose_family(config).family, config, DType::f32, std::nullopt));
  }
  // The error for that config.json with a change, without the file's name.
  std::string refused(size_t index, const json& patch) const {
    json config = exported_config(index);
    config.merge_patch(patch);
    write(config);
    const std::string line = error_of([&] { describe_folder(hf()); }), file = (hf() / "config.json: ").string();
    EXPECT_TRUE(line.starts_with(file)) << line;
    return line.substr(std::min(file.size(), line.size()));
  }
};

// The keys of OLMoE-1B-7B-0924, with small numbers.
const char* const kOlmoe = R"({
  "architectures": ["OlmoeForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "clip_qkv": null,
  "eos_token_id": 28, "hidden_act": "silu", "hidden_size": 12, "initializer_range": 0.02, "intermediate_size": 10,
  "max_position_embeddings": 4096, "model_type": "olmoe", "norm_topk_prob": false, "num_attention_heads": 3,
  "num_experts": 5, "num_experts_per_tok": 2, "num_hidden_layers": 2, "num_key_value_heads": 3,
  "output_router_logits": false, "pad_token_id": 1, "rope_scaling": null, "rope_theta": 20000.0,
  "router_aux_loss_coef": 0.02, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
  "transformers_version": "4.43.0.dev0", "use_cache": true, "vocab_size": 29})";

TEST_F(ModelFolderTest, ReadsTheKeysOfOlmoe) {
  const Config config = described(json::parse(kOlmoe));
  ModelConfig expected = config_of({{"model", {{"qk_norm", true}, {"intermediate_size", 0}}}}).model;
  expected.max_position_embeddings = 4096;
  expected.rope_theta = 20000;
  expected.router_aux_loss_coef = 0.02;
  expected.initializer_range = 0.02;
  expected.init = "small_wang";
  EXPECT_EQ(config.model, expected);
  EXPECT_EQ(config.router.type, "topk");
  EXPECT_EQ(config.train.sequence_length, 2048);
  EXPECT_EQ(config.train.init_from, hf().string());
  EXPECT_EQ(describe_folder(hf()).ignored_keys, std::vector<std::string>());
}

// Each key as in the config.json of a published model, with small numbers.
TEST_F(ModelFolderTest, ReadsTheKeysOfPublishedModels) {
  const struct {
    const char* name;
    const char* config;
    const char* model;  // the model that gptmoe reads, as changes to the tiny config
  } cases[] = {
      {"Mixtral-8x7B", R"({"architectures": ["MixtralForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1,
         "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 12, "initializer_range": 0.02, "intermediate_size": 10,
         "max_position_embeddings": 32768, "model_type": "mixtral", "num_attention_heads": 3, "num_experts_per_tok": 2,
         "num_hidden_layers": 2, "num_key_value_heads": 1, "num_local_experts": 5, "output_router_logits": false,
         "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.02, "sliding_window": null,
         "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.36.0.dev0",
         "use_cache": true, "vocab_size": 29})",
       R"({"max_position_embeddings": 32768, "num_key_value_heads": 1, "rope_theta": 1e6, "router_aux_loss_coef": 0.02,
           "norm_topk_prob": true, "intermediate_size": 0})"},
      {"Llama-2-7b", R"({"_name_or_path": "llama-2", "architectures": ["LlamaForCausalLM"], "bos_token_id": 1,
         "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 12, "initializer_range": 0.02, "intermediate_size": 14,
         "max_position_embeddings": 4096, "model_type": "llama", "num_attention_heads": 3, "num_hidden_layers": 2,
         "num_key_value_heads": 3, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null,
         "tie_word_embeddings": false, "torch_dtype": "float16", "transformers_version": "4.31.0.dev0",
         "use_cache": true, "vocab_size": 29})",
       R"({"max_position_embeddings": 4096, "num_key_value_heads": 3, "num_experts": 0})"},
      {"Meta-Llama-3-8B", R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
         "bos_token_id": 128000, "eos_token_id": [128001, 128009], "hidden_act": "silu", "hidden_size": 12,
         "initializer_range": 0.02, "intermediate_size": 14, "max_position_embeddings": 8192, "model_type": "llama",
         "num_attention_heads": 3, "num_hidden_layers": 2, "num_key_value_heads": 1, "pretraining_tp": 1,
         "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 500000.0, "tie_word_embeddings": false,
         "torch_dtype": "bfloat16", "transformers_version": "4.40.0.dev0", "use_cache": true, "vocab_size": 29})",
       R"({"max_position_embeddings": 8192, "num_key_value_heads": 1, "rope_theta": 500000, "num_experts": 0})"},
      {"Qwen3-30B-A3B", R"({"architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
         "bos_token_id": 27, "decoder_sparse_step": 1, "eos_token_id": 28, "head_dim": 6, "hidden_act": "silu",
         "hidden_size": 12, "initializer_range": 0.02, "intermediate_size": 14, "max_position_embeddings": 40960,
         "max_window_layers": 2, "mlp_only_layers": [], "model_type": "qwen3_moe", "moe_intermediate_size": 10,
         "norm_topk_prob": true, "num_attention_heads": 3, "num_experts": 5, "num_experts_per_tok": 2,
         "num_hidden_layers": 2, "num_key_value_heads": 1, "output_router_logits": false, "rms_norm_eps": 1e-06,
         "rope_scaling": null, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.001, "sliding_window": null,
         "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.51.0", "use_cache": true,
         "use_sliding_window": false, "vocab_size": 29})",
       R"({"max_position_embeddings": 40960, "num_key_value_heads": 1, "rope_theta": 1000000, "rms_norm_eps": 1e-6,
         "norm_topk_prob": true, "router_aux_loss_coef": 0.001, "head_dim": 6, "qk_norm": true,
         "qk_norm_scope": "head"})"},
      {"Qwen3-0.6B", R"({"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
         "bos_token_id": 27, "eos_token_id": 28, "head_dim": 6, "hidden_act": "silu", "hidden_size": 12,
         "initializer_range": 0.02, "intermediate_size": 14, "max_position_embeddings": 40960, "max_window_layers": 2,
         "model_type": "qwen3", "num_attention_heads": 3, "num_hidden_layers": 2, "num_key_value_heads": 1,
         "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
         "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.51.0", "use_cache": true,
         "use_sliding_window": false, "vocab_size": 29})",
       R"({"max_position_embeddings": 40960, "num_key_value_heads": 1, "rope_theta": 1000000, "rms_norm_eps": 1e-6,
         "head_dim": 6, "qk_norm": true, "qk_norm_scope": "head", "tie_word_embeddings": true, "num_experts": 0})"}};
  for (const auto& c : cases) {
    json changes = json::parse(c.model);
    changes.merge_patch({{"init", "small_wang"}, {"initializer_range", 0.02}});
    ModelConfig expected = config_of({{"model", changes}}).model;
    const ModelConfig found = described(json::parse(c.config)).model;
    if (found.num_experts == 0) {  // keys that a dense model does not use
      expected.num_experts_per_tok = found.num_experts_per_tok;
      expected.moe_intermediate_size = found.moe_intermediate_size;
    }
    EXPECT_EQ(found, expected) << c.name;
    EXPECT_EQ(describe_folder(hf()).ignored_keys, std::vector<std::string>()) << c.name;
  }
}

// The error names the first key of a published model that asks for something our models do not compute.
TEST_F(ModelFolderTest, RefusesPublishedModelsByTheirKeys) {
  const struct {
    const char* config;
    const char* error;
  } cases[] = {
      {R"({"hidden_act": "silu", "hidden_size": 12, "intermediate_size": 14, "max_position_embeddings": 8192,
           "max_window_layers": 21, "model_type": "qwen2_moe", "num_attention_heads": 3, "num_hidden_layers": 2,
           "num_key_value_heads": 3, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 32768,
           "tie_word_embeddings": false, "use_sliding_window": false, "vocab_size": 29, "decoder_sparse_step": 1,
           "moe_intermediate_size": 10, "shared_expert_intermediate_size": 40, "num_experts_per_tok": 2,
           "num_experts": 5, "norm_topk_prob": false, "output_router_logits": false, "router_aux_loss_coef": 0.001})",
       "qkv_bias: true is not supported: gptmoe computes false; config.json lacks the key; this is its default"},
      {R"({"attention_bias": true, "hidden_act": "silu", "hidden_dropout": 0.0, "hidden_size": 12,
           "input_jitter_noise": 0.01, "intermediate_size": 10, "lm_head_bias": true, "max_position_embeddings": 131072,
           "model_type": "phimoe", "num_attention_heads": 3, "num_experts_per_tok": 2, "num_hidden_layers": 2,
           "num_key_value_heads": 1, "num_local_experts": 5, "original_max_position_embeddings": 4096,
           "rms_norm_eps": 1e-05, "rope_scaling": {"long_factor": [1.0], "long_mscale": 1.24, "short_factor": [1.0],
           "short_mscale": 1.24, "original_max_position_embeddings": 4096, "type": "longrope"}, "rope_theta": 10000.0,
           "router_jitter_noise": 0.01, "sliding_window": 131072, "vocab_size": 29})",
       "rope_scaling.type: \"longrope\" is not supported: gptmoe computes \"default\""},
      {R"({"hidden_act": "silu", "hidden_size": 12, "head_dim": 4, "intermediate_size": 14, "mlp_bias": false,
           "max_position_embeddings": 131072, "model_type": "llama", "num_attention_heads": 3, "num_hidden_layers": 2,
           "num_key_value_heads": 1, "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
           "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
           "tie_word_embeddings": true, "vocab_size": 29})",
       "rope_scaling.rope_type: \"llama3\" is not supported: gptmoe computes \"default\""},
      {R"({"hidden_act": "silu", "hidden_size": 12, "intermediate_size": 14, "layer_norm_eps": 1e-05,
           "max_position_embeddings": 4096, "model_type": "stablelm", "num_attention_heads": 3, "num_hidden_layers": 2,
           "num_key_value_heads": 3, "partial_rotary_factor": 0.25, "rope_theta": 10000, "use_qkv_bias": true,
           "tie_word_embeddings": false, "vocab_size": 29})",
       "partial_rotary_factor: 0.25 is not supported: gptmoe computes 1"},
      {R"({"hidden_act": "gelu", "hidden_size": 12, "intermediate_size": 14, "layer_norm_eps": 1e-05,
           "max_position_embeddings": 2048, "model_type": "gpt_neox", "num_attention_heads": 3, "num_hidden_layers": 2,
           "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": false, "use_parallel_residual": true,
           "vocab_size": 29})",
       "rotary_pct: 0.25 is not supported: gptmoe computes 1"}};
  for (const auto& c : cases) {
    write(json::parse(c.config));
    EXPECT_EQ(error_of([&] { describe_folder(hf()); }), text((hf() / "config.json").string(), ": ", c.error));
  }
}

TEST_F(ModelFolderTest, ReadsTheKeysOfNewVersions) {
  json config = json::parse(kOlmoe);
  const ModelConfig old = described(config).model;
  for (const char* key : {"rope_theta", "rope_scaling", "torch_dtype"}) config.erase(key);
  config["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 20000.0}};
  config["dtype"] = "bfloat16";
  EXPECT_EQ(described(config).model, old);
  config["something_new"] = 1;
  config["unset"] = nullptr;
  write(config);
  EXPECT_EQ(describe_folder(hf()).ignored_keys, std::vector<std::string>{"something_new"});
}

TEST_F(ModelFolderTest, ReadsWhatAnExportWrites) {
  for (const FamilyCase& c : family_cases()) {
    const Config config = config_of(json::parse(c.changes));
    const Family& family = *choose_family(config).family;
    const std::string exported = config_json(family, config, DType::f32, 28);
    const Config back = described(json::parse(exported));
    EXPECT_EQ(config_json(family, back, DType::f32, 28), exported);
    if (config.model.moe_layers() > 0) {
      EXPECT_EQ(back.router, config.router);
    }
    EXPECT_EQ(describe_folder(hf()).ignored_keys, std::vector<std::string>()) << c.changes;
  }
}

// Each key changes what the class computes to something that we do not compute.
TEST_F(ModelFolderTest, RefusesWhatWeDoNotCompute) {
  const struct {
    size_t index;  // of family_cases()
    const char* patch;
    const char* error;
  } cases[] = {
      {0, R"({"model_type": "gpt2"})",
       "model_type: \"gpt2\" is not supported: gptmoe imports olmoe, mixtral, qwen2_moe, qwen3_moe, phimoe, llama, "
       "qwen3, stablelm, "
       "gpt_neox, gptmoe"},
      {0, R"({"model_type": null})", "model_type: is missing; it must be a string"},
      {0, R"({"clip_qkv": 8.0})", "clip_qkv: 8.0 is not supported: gptmoe computes null"},
      {0, R"({"hidden_act": "gelu"})", "hidden_act: \"gelu\" is not supported: gptmoe computes \"silu\" or \"swish\""},
      {0, R"({"rope_parameters": {"rope_type": "yarn"}})",
       "rope_parameters.rope_type: \"yarn\" is not supported: gptmoe computes \"default\""},
      {0, R"({"rope_parameters": null, "rope_scaling": {"type": "linear", "factor": 2.0}})",
       "rope_scaling.type: \"linear\" is not supported: gptmoe computes \"default\""},
      {0, R"({"rope_scaling": 2})", "rope_scaling: 2 is not supported: it must be an object or null"},
      {0, R"({"rope_theta": 5000})",
       "rope_theta: 5000.0 is not supported: rope_parameters.rope_theta is 10000; remove the wrong one"},
      {0, R"({"quantization_config": {"bits": 4}})", "quantization_config: {\"bits\":4} is not supported"},
      {0, R"({"head_dim": 6})", "head_dim: 6 is not supported: the class has hidden_size / num_attention_heads"},
      {0, R"({"hidden_size": null})", "hidden_size: is missing; it must be a whole number from 1 to 2^31"},
      {0, R"({"hidden_size": "12"})", "hidden_size: must be a whole number from 1 to 2^31, not \"12\""},
      {0, R"({"num_experts": -5})", "num_experts: must be a whole number from 1 to 2^31, not -5"},
      {0, R"({"norm_topk_prob": 1})", "norm_topk_prob: must be true or false, not 1"},
      {0, R"({"rms_norm_eps": "x"})", "rms_norm_eps: must be a number, not \"x\""},
      {0, R"({"num_experts_per_tok": 6})", "num_experts_per_tok: must be at most num_experts 5, not 6"},
      {0, R"({"rope_theta": null, "rope_parameters": {"rope_theta": -1}})", "rope_parameters.rope_theta: must be "},
      {1, R"({"intermediate_size": 2147483648})", "intermediate_size: must be "},
      {1, R"({"num_local_experts": 2147483648})", "num_local_experts: must be "},
      {1, R"({"sliding_window": 4})", "sliding_window: 4 is not supported: gptmoe computes attention without a window"},
      {1, R"({"num_key_value_heads": null})", "num_key_value_heads: is missing"},
      {2, R"({"qkv_bias": true})", "qkv_bias: true is not supported: gptmoe computes false"},
      {2, R"({"qkv_bias": null})",
       "qkv_bias: true is not supported: gptmoe computes false; config.json lacks the key; this is its default"},
      {2, R"({"use_sliding_window": true, "sliding_window": 4})", "sliding_window: 4 is not supported"},
      {2, R"({"layer_types": ["full_attention", "sliding_attention"]})",
       "layer_types: \"sliding_attention\" is not supported: gptmoe computes \"full_attention\""},
      {2, R"({"mlp_only_layers": [1]})", "mlp_only_layers: [1] is not supported: gptmoe has dense layers before"},
      {2, R"({"mlp_only_layers": [0, 1, 2]})", "mlp_only_layers: [0,1,2] is not supported"},
      {2, R"({"mlp_only_layers": 0})", "mlp_only_layers: 0 is not supported: it must be a list of layers"},
      {2, R"({"decoder_sparse_step": 2})", "decoder_sparse_step: 2 is not supported: gptmoe computes 1"},
      {2, R"({"shared_expert_intermediate_size": 15})",
       "shared_expert_intermediate_size: 15 is not supported: it must be a multiple of moe_intermediate_size, 10"},
      {4, R"({"lm_head_bias": true})", "lm_head_bias: true is not supported: gptmoe computes false"},
      {4, R"({"num_experts_per_tok": 1})", "num_experts_per_tok: 1 is not supported: gptmoe computes 2"},
      {4, R"({"sliding_window": 6})", "sliding_window: 6 is not supported"},
      {5, R"({"mlp_bias": true})", "mlp_bias: true is not supported: gptmoe computes false"},
      {5, R"({"rope_parameters": {"partial_rotary_factor": 0.5}})",
       "rope_parameters.partial_rotary_factor: 0.5 is not supported: gptmoe computes 1"},
      {5, R"({"head_dim": null, "num_attention_heads": 5})",
       "num_attention_heads: 5 is not supported: it must divide hidden_size, 12"},
      {5, R"({"head_dim": 5})", "head_dim: must be even, not 5, since RoPE rotates pairs"},
      {7, R"({"layer_norm_eps": -1})", "layer_norm_eps: must be "},
      {7, R"({"use_qkv_bias": true})", "use_qkv_bias: true is not supported: gptmoe computes false"},
      {7, R"({"qk_layernorm": true})", "qk_layernorm: true is not supported: gptmoe computes false"},
      {7, R"({"use_parallel_residual": true})", "use_parallel_residual: true is not supported: gptmoe computes false"},
      {7, R"({"partial_rotary_factor": null, "rope_parameters": null})",
       "partial_rotary_factor: 0.25 is not supported: gptmoe computes 1; config.json lacks the key; this is its "
       "default"},
      {8, R"({"use_parallel_residual": null})",
       "use_parallel_residual: true is not supported: gptmoe computes false; config.json lacks the key"},
      {8, R"({"hidden_act": "gelu"})",
       "hidden_act: \"gelu\" is not supported: gptmoe computes \"gelu_pytorch_tanh\" or \"gelu_new\" or \"gelu_fast\""},
      {8, R"({"rotary_pct": 0.25})", "rotary_pct: 0.25 is not supported: gptmoe computes 1"},
      {8, R"({"rotary_emb_base": 1000})", "rotary_emb_base: 1000.0 is not supported: rope_theta is 10000"},
      {8, R"({"num_key_value_heads": 1})", "num_key_value_heads: 1 is not supported: gptmoe computes 3"}};
  for (const auto& c : cases) {
    const std::string error = refused(c.index, json::parse(c.patch));
    EXPECT_TRUE(error.starts_with(c.error)) << c.patch << "\n" << error << "\n" << c.error;
  }
}

TEST_F(ModelFolderTest, TakesWhatHasNoEffect) {
  for (const auto& pair : std::vector<std::pair<size_t, const char*>>{
           {1, R"({"sliding_window": 7, "router_jitter_noise": 0.1, "rope_scaling": {"rope_type": "default"}})"},
           {2, R"({"sliding_window": 4, "max_window_layers": 1, "layer_types": ["full_attention", "full_attention"]})"},
           {4, R"({"sliding_window": 131072, "input_jitter_noise": 0.01})"},
           {5, R"({"num_key_value_heads": null, "pretraining_tp": 1, "hidden_act": "swish"})"},
           {8, R"({"hidden_act": "gelu_new", "rope_parameters": null, "rope_theta": null, "hidden_dropout": 0.1})"}}) {
    const std::string patch = pair.second;
    json config = exported_config(pair.first);
    const ModelConfig expected = described(config).model;
    config.merge_patch(json::parse(patch));
    EXPECT_EQ(described(config).model, expected) << patch;
    EXPECT_EQ(describe_folder(hf()).ignored_keys, std::vector<std::string>()) << patch;
  }
}

TEST_F(ModelFolderTest, OurClassHasTheKeysOfTheRun) {
  const Config config = config_of({{"router", {{"type", "default"}}}, {"model", {{"norm_type", "layernorm"}}}});
  json exported = json::parse(config_json(custom_family(), config, DType::f32, std::nullopt));
  const Config back = described(exported);
  EXPECT_EQ(back.model, config.model);
  EXPECT_EQ(back.router, config.router);
  json wrong = exported;
  wrong["router"]["ema_beta"] = 3;
  write(wrong);
  expect_contains(error_of([&] { describe_folder(hf()); }), "config.json: router.ema_beta: ");
  wrong["router"] = "topk";
  write(wrong);
  expect_contains(error_of([&] { describe_folder(hf()); }), "config.json: router: \"topk\" is not supported");
  exported["norm_type"] = "none";
  write(exported);
  expect_contains(error_of([&] { describe_folder(hf()); }), "config.json: norm_type: ");
}

TEST_F(ModelFolderTest, OurClassTakesNoDefaults) {
  const Config config = config_of({{"model", {{"rope_theta", 500}, {"rms_norm_eps", 1e-3}}}});
  const json exported = json::parse(config_json(custom_family(), config, DType::f32, std::nullopt));
  const auto without = [&](std::initializer_list<const char*> keys) {
    json some = exported;
    for (const char* key : keys) some.erase(key);
    return some;
  };
  EXPECT_EQ(described(without({"rope_theta"})).model, config.model);
  EXPECT_EQ(described(without({"rope_parameters", "balance_scope"})).model, config.model);
  for (const char* key : {"rms_norm_eps", "norm_topk_prob", "head_dim"})
    expect_contains(error_of([&] { described(without({key})); }), text("config.json: ", key, ": is missing"));
  expect_contains(error_of([&] { described(without({"rope_theta", "rope_parameters"})); }), ": rope_theta: is missing");
}

TEST_F(ModelFolderTest, ALoopOfLinksIsNamed) {
  fs::create_symlink("loop", folder_ / "loop");
  expect_contains(error_of([&] { ModelFolder(folder_ / "loop"); }), "loop: cannot access it: Too many levels");
}

TEST_F(ModelFolderTest, IsDistinguishedFromARunAndACheckpoint) {
  EXPECT_FALSE(is_model_folder(hf()));  // empty
  write(json::parse(kOlmoe));
  EXPECT_TRUE(is_model_folder(hf()));
  EXPECT_FALSE(is_model_folder(hf() / "config.json") || is_model_folder(folder_ / "gone"));
  fs::create_directory(hf() / "checkpoints");
  EXPECT_FALSE(is_model_folder(hf()));
  const fs::path checkpoint = save(config_of({}));
  EXPECT_FALSE(is_model_folder(checkpoint) || is_model_folder(folder_ / "run"));
  expect_contains(error_of([&] { describe_folder(checkpoint); }),
                  "model_type: gptmoe_checkpoint: the folder is a checkpoint already; ");
  fs::remove(hf() / "checkpoints");
  write_text_file(hf() / "config.json", "{");
  expect_contains(error_of([&] { is_model_folder(hf()); }), "config.json:1:2: ");
  write_text_file(hf() / "config.json", "[]");
  expect_contains(error_of([&] { describe_folder(hf()); }), "config.json: is not a JSON object");
}

}  // namespace
}  // namespace gptmoe::testing
