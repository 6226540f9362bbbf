#include <limits>

#include "config/config.h"
#include "config/json_section.h"
#include "config/validate.h"

namespace gptmoe {
namespace {

using nlohmann::json;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kAnyInteger = std::numeric_limits<int64_t>::max();
// Well above any model trained so far; validate() bounds their products.
constexpr int64_t kMaxWidth = int64_t{1} << 20;
constexpr int64_t kMaxVocab = int64_t{1} << 24;
constexpr int64_t kMaxLayers = 1 << 14;
constexpr int64_t kMaxHeads = 1 << 14;
constexpr int64_t kMaxExperts = 1 << 16;
constexpr int64_t kMaxSeconds = 1 << 30;
constexpr int64_t kMaxTokens = int64_t{1} << 24;     // in a sequence
constexpr int64_t kMaxSequences = int64_t{1} << 24;  // in a batch
constexpr int64_t kMaxSteps = int64_t{1} << 40;

void parse_attention(JsonSection& section, ModelConfig& model) {
  model.num_attention_heads = section.integer("num_attention_heads", 1, kMaxHeads);
  model.num_key_value_heads = section.integer("num_key_value_heads", 1, kMaxHeads, model.num_attention_heads);
  if (!section.has("head_dim") && model.hidden_size % model.num_attention_heads != 0)
    section.fail("num_attention_heads", text("must divide hidden_size ", model.hidden_size, ", not ",
                                             model.num_attention_heads, "; or give head_dim"));
  model.head_dim = section.integer("head_dim", 1, kMaxWidth, model.hidden_size / model.num_attention_heads);
  model.qk_norm = section.boolean("qk_norm", model.qk_norm);
  model.attention_bias = section.boolean("attention_bias", model.attention_bias);
  model.rope_theta = section.number("rope_theta", 1, kInfinity, model.rope_theta);
}

void parse_feed_forward(JsonSection& section, ModelConfig& model) {
  model.intermediate_size = section.integer("intermediate_size", 0, kMaxWidth, model.intermediate_size);
  model.moe_intermediate_size = section.integer("moe_intermediate_size", 0, kMaxWidth, model.moe_intermediate_size);
  model.num_experts = section.integer("num_experts", 0, kMaxExperts, model.num_experts);
  model.num_experts_per_tok = section.integer("num_experts_per_tok", 1, kMaxExperts, model.num_experts_per_tok);
  model.n_shared_experts = section.integer("n_shared_experts", 0, kMaxExperts, model.n_shared_experts);
  model.first_k_dense_replace = section.integer("first_k_dense_replace", 0, kMaxLayers, model.first_k_dense_replace);
  model.norm_topk_prob = section.boolean("norm_topk_prob", model.norm_topk_prob);
  model.router_aux_loss_coef = section.number("router_aux_loss_coef", 0, kInfinity, model.router_aux_loss_coef);
  model.balance_scope = section.choice("balance_scope", {"micro_batch", "step"}, model.balance_scope);
  model.router_z_loss_coef = section.number("router_z_loss_coef", 0, kInfinity, model.router_z_loss_coef);
  model.hidden_act = section.choice("hidden_act", {"silu", "gelu"}, model.hidden_act);
}

ModelConfig parse_model(JsonSection section, const TrainConfig& train) {
  ModelConfig model;
  model.vocab_size = section.integer("vocab_size", 2, kMaxVocab);
  model.hidden_size = section.integer("hidden_size", 1, kMaxWidth);
  model.num_hidden_layers = section.integer("num_hidden_layers", 1, kMaxLayers);
  parse_attention(section, model);
  parse_feed_forward(section, model);
  model.norm_type = section.choice("norm_type", {"rmsnorm", "layernorm"}, model.norm_type);
  model.rms_norm_eps = section.number("rms_norm_eps", 0, 1, model.rms_norm_eps);
  model.max_position_embeddings = section.integer("max_position_embeddings", 1, kMaxTokens, train.sequence_length);
  model.tie_word_embeddings = section.boolean("tie_word_embeddings", model.tie_word_embeddings);
  model.init = section.choice("init", {"small_wang", "small", "normal", "gpt2"}, model.init);
  model.initializer_range = section.number("initializer_range", 0, kInfinity, model.initializer_range);
  section.finish();
  return model;
}

// The policy that `type` names finishes the rest.
RouterConfig parse_router(JsonSection section, json block) {
  RouterConfig router;
  router.type = section.string("type", router.type);
  block.erase("type");
  router.block = std::move(block);
  return router;
}

DataConfig parse_data(JsonSection section) {
  DataConfig data;
  data.train = section.string("train");
  data.val = section.string("val", data.val);
  data.tokenizer = section.string("tokenizer", data.tokenizer);
  section.finish();
  return data;
}

TrainConfig parse_train(JsonSection section) {
  TrainConfig train;
  train.steps = section.integer("steps", 1, kMaxSteps);
  train.sequence_length = section.integer("sequence_length", 1, kMaxTokens);
  train.micro_batch_size = section.integer("micro_batch_size", 1, kMaxSequences);
  train.global_batch_size = section.integer("global_batch_size", 1, kMaxSequences, train.micro_batch_size);
  train.eval_every = section.integer("eval_every", 0, kMaxSteps, train.eval_every);
  train.eval_tokens = section.integer("eval_tokens", 0, kAnyInteger, train.eval_tokens);
  train.recompute = section.choice("recompute", {"none", "block"}, train.recompute);
  train.cuda_graphs = section.boolean("cuda_graphs", train.cuda_graphs);
  section.finish();
  return train;
}

OptimizerConfig parse_optimizer(JsonSection section) {
  OptimizerConfig optimizer;
  optimizer.type = section.choice("type", {"adamw"}, optimizer.type);
  optimizer.learning_rate = section.number("learning_rate", 0, kInfinity);
  optimizer.beta1 = section.number("beta1", 0, 1, optimizer.beta1);
  optimizer.beta2 = section.number("beta2", 0, 1, optimizer.beta2);
  optimizer.eps = section.number("eps", 0, 1, optimizer.eps);
  optimizer.weight_decay = section.number("weight_decay", 0, kInfinity, optimizer.weight_decay);
  optimizer.grad_clip = section.number("grad_clip", 0, kInfinity, optimizer.grad_clip);
  section.finish();
  return optimizer;
}

ScheduleConfig parse_schedule(JsonSection section) {
  ScheduleConfig schedule;
  schedule.type = section.choice("type", {"cosine", "constant", "wsd"}, schedule.type);
  schedule.warmup_steps = section.integer("warmup_steps", 0, kMaxSteps, schedule.warmup_steps);
  schedule.min_lr_ratio = section.number("min_lr_ratio", 0, 1, schedule.min_lr_ratio);
  schedule.decay_steps = section.integer("decay_steps", 0, kMaxSteps, schedule.decay_steps);
  schedule.lr_decay_steps = section.integer("lr_decay_steps", 0, kMaxSteps, schedule.lr_decay_steps);
  section.finish();
  return schedule;
}

CheckpointConfig parse_checkpoint(JsonSection section) {
  CheckpointConfig checkpoint;
  checkpoint.every = section.integer("every", 0, kMaxSteps, checkpoint.every);
  checkpoint.keep = section.integer("keep", 0, kAnyInteger, checkpoint.keep);
  section.finish();
  return checkpoint;
}

DistributedConfig parse_distributed(JsonSection section) {
  DistributedConfig distributed;
  distributed.zero_stage = section.integer("zero_stage", 0, 1, distributed.zero_stage);
  distributed.reduce_dtype = section.choice("reduce_dtype", {"f32", "bf16"}, distributed.reduce_dtype);
  distributed.heartbeat_seconds = section.integer("heartbeat_seconds", 0, kMaxSeconds, distributed.heartbeat_seconds);
  distributed.hang_seconds = section.integer("hang_seconds", 0, kMaxSeconds, distributed.hang_seconds);
  section.finish();
  return distributed;
}

LogConfig parse_log(JsonSection section) {
  LogConfig log;
  log.every = section.integer("every", 1, kMaxSteps, log.every);
  section.finish();
  return log;
}

}  // namespace

Config parse_config(const json& value, const std::string& file) {
  Config config;
  JsonSection root(value, "", file);
  JsonSection model = root.section("model"), router = root.section("router"), data = root.section("data"),
              train = root.section("train"), optimizer = root.section("optimizer"), schedule = root.section("schedule"),
              checkpoint = root.section("checkpoint"), log = root.section("log"),
              distributed = root.section("distributed");
  config.device = root.choice("device", {"auto", "cpu", "cuda"}, config.device);
  config.precision = root.choice("precision", {"auto", "f32", "bf16"}, config.precision);
  config.seed = root.integer("seed", 0, kAnyInteger, config.seed);
  // Before the sections: a misspelt section is named as such, not by what it then lacks.
  root.finish();

  config.train = parse_train(train);
  config.model = parse_model(model, config.train);
  config.router = parse_router(router, root.raw("router"));
  config.data = parse_data(data);
  config.optimizer = parse_optimizer(optimizer);
  config.schedule = parse_schedule(schedule);
  config.checkpoint = parse_checkpoint(checkpoint);
  config.log = parse_log(log);
  config.distributed = parse_distributed(distributed);
  validate(config, file);
  return config;
}

}  // namespace gptmoe
