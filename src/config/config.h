#pragma once
// The config of a run: one struct per section of the JSON file. config_fields.cpp describes every key with its range,
// and docs/config.md lists them. parse_config() fills in every default and checks every rule that needs no data.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/json_value.h"
#include "config/data_source.h"
#include "config/param_groups.h"

namespace gptmoe {

struct ModelConfig {
  int64_t vocab_size = 0;              // V, required
  int64_t hidden_size = 0;             // C, required
  int64_t num_hidden_layers = 0;       // L, required
  int64_t num_attention_heads = 0;     // H, required
  int64_t num_key_value_heads = 0;     // G, default H; divides H
  int64_t head_dim = 0;                // D, default C / H; even (RoPE)
  int64_t intermediate_size = 0;       // hidden width of dense layers; required if a layer is dense
  int64_t moe_intermediate_size = 0;   // F, required with experts
  int64_t num_experts = 0;             // E; 0 = every layer dense
  int64_t num_experts_per_tok = 1;     // K <= E
  int64_t n_shared_experts = 0;        // always-on experts, run as one FFN of width n * F
  int64_t first_k_dense_replace = 0;   // the first k layers are dense; <= L
  bool norm_topk_prob = false;         // renormalise the K gates, if the router allows it
  double router_aux_loss_coef = 0.01;  // coefficient of the balance loss, summed over MoE layers
  double router_z_loss_coef = 0.0;     // coefficient of the z-loss, summed over MoE layers
  // Which tokens the balance loss counts for each expert, over all ranks: those of the "micro_batch", or those of all
  // micro-batches of the "step" so far.
  std::string balance_scope = "micro_batch";
  std::string hidden_act = "silu";    // "silu": SwiGLU (gate, up, down); "gelu": plain MLP (up, down), tanh GELU
  std::string norm_type = "rmsnorm";  // "rmsnorm" | "layernorm" (weight and bias)
  double rms_norm_eps = 1e-5;         // epsilon of either norm
  bool qk_norm = false;               // RMSNorm over queries and keys before RoPE
  std::string qk_norm_scope = "row";  // what one norm covers: a token's whole "row" (OLMoE) | each "head" (Qwen3)
  bool attention_bias = false;        // biases on the query, key, value and output projections of attention
  double rope_theta = 10000.0;
  int64_t max_position_embeddings = 0;  // default and minimum: train.sequence_length
  bool tie_word_embeddings = false;
  double logit_softcap = 0;         // c: the logits are c * tanh(logits / c); 0 = off
  double output_z_loss_coef = 0;    // coefficient of the mean squared log-sum-exp of the logits
  std::string init = "small_wang";  // "small_wang" | "small" | "normal" | "gpt2", see docs/mathematics.md
  double initializer_range = 0.02;  // std of "normal" and "gpt2"

  bool layer_is_moe(int64_t layer) const { return num_experts > 0 && layer >= first_k_dense_replace; }
  int64_t moe_layers() const { return num_experts > 0 ? num_hidden_layers - first_k_dense_replace : 0; }
  bool operator==(const ModelConfig&) const = default;
};

// The section "router". The router that `type` names (src/routing) reads the section's keys; src/config only stores
// them.
struct RouterConfig {
  std::string type = "topk";
  JsonValue block;  // all keys but "type"

  bool operator==(const RouterConfig&) const = default;
};

struct DataConfig {
  DataSources train;      // required
  DataSources val;        // each is evaluated by itself; empty = no validation
  std::string tokenizer;  // path; empty = unknown (generate then needs --tokenizer)
  // If document_mask is set, attention and positions restart after each token `end_of_text`. load_given_config()
  // (train/given_config.h) then replaces -1 with the tokenizer's id, so a run's config always has the id.
  bool document_mask = false;
  int64_t end_of_text = -1;

  // The token after which attention and positions restart; -1 = none.
  int64_t document_end() const { return document_mask ? end_of_text : -1; }
  bool operator==(const DataConfig&) const = default;
};

// The downstream tasks that a run scores while it trains.
struct TasksConfig {
  DataSources files;  // task files and folders of them, each only with a path; empty = none
  int64_t every = 0;  // steps between scorings; 0 = only at the end
  int64_t limit = 0;  // examples from the start of each file; 0 = all
  int64_t shots = 0;  // solved examples before each example

  bool operator==(const TasksConfig&) const = default;
};

struct TrainConfig {
  int64_t steps = 0;                 // required
  int64_t sequence_length = 0;       // T, required
  int64_t micro_batch_size = 0;      // B, sequences; required; 0 = "auto", until the run begins
  int64_t global_batch_size = 0;     // sequences per step; default B; a multiple of B * ranks
  int64_t eval_every = 0;            // steps between validations; 0 = only at the end
  int64_t eval_tokens = 65536;       // validation tokens, rounded down to whole windows; 0 = all
  std::string recompute = "none";    // "none" | "block"
  std::string init_from;             // run or checkpoint whose weights the run starts from; empty = none
  double init_noise = 0;             // std of noise on upcycled experts, as a share of each tensor's rms
  bool cuda_graphs = true;           // on a GPU, replay a step's work as CUDA graphs
  double skip_spikes = 0;            // skip steps whose loss or gradient norm is this many deviations too high; 0 = off
  int64_t skip_spikes_window = 128;  // number of preceding steps with which a step is compared
  double weight_ema = 0;             // decay of the weights' moving average; 0 = no average
  TasksConfig tasks;

  // Whether choose_micro_batch() (engine/memory_check.h) has yet to choose the size.
  bool auto_micro_batch() const { return micro_batch_size == 0; }
  // Micro-batches that each of `ranks` ranks runs per step.
  int64_t micro_batches(int64_t ranks) const { return global_batch_size / (micro_batch_size * ranks); }
  int64_t tokens_per_step() const { return global_batch_size * sequence_length; }

  bool operator==(const TrainConfig&) const = default;
};

struct OptimizerConfig {
  std::string type = "adamw";  // "adamw" | "muon" (on hidden matrices, AdamW on the rest)
  double learning_rate = 0;    // required
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.1;
  double grad_clip = 1.0;                      // global norm; 0 = off
  double momentum = 0.95;                      // of Muon
  std::string muon_scale = "match_rms_adamw";  // "match_rms_adamw" | "original": size of Muon's updates
  std::string state_dtype = "f32";             // "f32" | "bf16" | "8bit": how the moments are kept
  ParamGroups groups = {};                     // a parameter takes the first group that matches it

  bool operator==(const OptimizerConfig&) const = default;
};

struct ScheduleConfig {
  std::string type = "cosine";  // "cosine" | "constant" | "wsd" (warm-up, stable, linear decay)
  int64_t warmup_steps = 0;
  double min_lr_ratio = 0.1;  // floor as a share of learning_rate
  int64_t decay_steps = 0;    // length of the final decay of "wsd", which requires it
  // "cosine": the step at which the rate reaches the floor, where it then stays. At least warmup_steps; 0 =
  // train.steps. If it is above train.steps, the run ends before the rate reaches the floor.
  int64_t lr_decay_steps = 0;

  bool operator==(const ScheduleConfig&) const = default;
};

struct CheckpointConfig {
  double minutes = 10;  // time between checkpoints; 0 = only by steps
  int64_t every = 0;    // steps between checkpoints; 0 = only by time and at the end
  int64_t keep = 2;     // newest checkpoints kept; 0 = all

  bool operator==(const CheckpointConfig&) const = default;
};

// How several ranks share the work. No effect on one rank.
struct DistributedConfig {
  // 0: every rank holds the whole optimizer and all gradients; 1: each rank holds only its part of the optimizer
  // (ZeRO); 2: also only its part of the gradients.
  int64_t zero_stage = 0;
  std::string reduce_dtype = "f32";  // "f32" | "bf16": dtype in which ranks send gradients
  int64_t heartbeat_seconds = 20;    // the job ends when a rank is silent for this long; 0 = never
  int64_t hang_seconds = 600;        // the job ends when a rank makes no progress for this long; 0 = never

  bool operator==(const DistributedConfig&) const = default;
};

struct LogConfig {
  int64_t every = 1;        // steps between "train" rows of metrics.jsonl
  bool tensorboard = true;  // write TensorBoard event files as well

  bool operator==(const LogConfig&) const = default;
};

// Which kernels to use where there is a choice.
struct KernelsConfig {
  std::string hopper = "auto";  // "auto" | "on" | "off": Hopper's kernels on a GPU of compute capability 9.0

  bool operator==(const KernelsConfig&) const = default;
};

struct Config {
  ModelConfig model;
  RouterConfig router;
  DataConfig data;
  TrainConfig train;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  CheckpointConfig checkpoint;
  LogConfig log;
  DistributedConfig distributed;
  KernelsConfig kernels;
  std::string device = "auto";     // "auto" | "cpu" | "cuda"
  std::string precision = "auto";  // "auto" (bf16 on a GPU, f32 on a CPU) | "f32" | "bf16" (on a CPU, only in matmuls)
  int64_t seed = 1;

  bool operator==(const Config&) const = default;
};

// Reads `json` as a Config; error messages call it `file`. Throws KeyError (a UserError) at the first key that is
// unknown, missing, mistyped, out of range or inconsistent with another key. The limits keep every count of a run's
// values or bytes within int64. router.type is not checked here: the table of routers checks it.
Config parse_config(const JsonValue& json, const std::string& file);

// Reads a file (comments are allowed), applies `overrides` and parses the result. An override is "path.to.key=value",
// where the value is JSON or else a string; missing objects are created. An error at an overridden key starts with
// `--set path.to.key` instead of the file. `check` checks the part that src/config cannot check, the router's block,
// and throws KeyError too.
using ConfigCheck = std::function<void(const Config& config, const std::string& file)>;
Config load_config(const std::filesystem::path& path, const std::vector<std::string>& overrides = {},
                   const ConfigCheck& check = {});

// A path of flattened JSON in the form that messages use: "/train/steps" is "train.steps".
std::string dotted(std::string path);

// Every field, with defaults filled in, in the order above; parse_config(to_json(c)) == c.
nlohmann::ordered_json to_json(const Config& config);

}  // namespace gptmoe
