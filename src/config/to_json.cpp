#include "config/config.h"

namespace gptmoe {
namespace {

using nlohmann::ordered_json;

ordered_json model_json(const ModelConfig& model) {
  return {{"vocab_size", model.vocab_size},
          {"hidden_size", model.hidden_size},
          {"num_hidden_layers", model.num_hidden_layers},
          {"num_attention_heads", model.num_attention_heads},
          {"num_key_value_heads", model.num_key_value_heads},
          {"head_dim", model.head_dim},
          {"intermediate_size", model.intermediate_size},
          {"moe_intermediate_size", model.moe_intermediate_size},
          {"num_experts", model.num_experts},
          {"num_experts_per_tok", model.num_experts_per_tok},
          {"n_shared_experts", model.n_shared_experts},
          {"first_k_dense_replace", model.first_k_dense_replace},
          {"norm_topk_prob", model.norm_topk_prob},
          {"router_aux_loss_coef", model.router_aux_loss_coef},
          {"balance_scope", model.balance_scope},
          {"router_z_loss_coef", model.router_z_loss_coef},
          {"hidden_act", model.hidden_act},
          {"norm_type", model.norm_type},
          {"rms_norm_eps", model.rms_norm_eps},
          {"qk_norm", model.qk_norm},
          {"attention_bias", model.attention_bias},
          {"rope_theta", model.rope_theta},
          {"max_position_embeddings", model.max_position_embeddings},
          {"tie_word_embeddings", model.tie_word_embeddings},
          {"init", model.init},
          {"initializer_range", model.initializer_range}};
}

ordered_json router_json(const RouterConfig& router) {
  ordered_json out{{"type", router.type}};
  for (const auto& [key, value] : router.block.items()) out[key] = value;
  return out;
}

ordered_json train_json(const TrainConfig& train) {
  return {{"steps", train.steps},
          {"sequence_length", train.sequence_length},
          {"micro_batch_size", train.micro_batch_size},
          {"global_batch_size", train.global_batch_size},
          {"eval_every", train.eval_every},
          {"eval_tokens", train.eval_tokens},
          {"recompute", train.recompute},
          {"cuda_graphs", train.cuda_graphs}};
}

ordered_json optimizer_json(const OptimizerConfig& optimizer) {
  return {{"type", optimizer.type},
          {"learning_rate", optimizer.learning_rate},
          {"beta1", optimizer.beta1},
          {"beta2", optimizer.beta2},
          {"eps", optimizer.eps},
          {"weight_decay", optimizer.weight_decay},
          {"grad_clip", optimizer.grad_clip}};
}

ordered_json schedule_json(const ScheduleConfig& schedule) {
  return {{"type", schedule.type},
          {"warmup_steps", schedule.warmup_steps},
          {"min_lr_ratio", schedule.min_lr_ratio},
          {"decay_steps", schedule.decay_steps},
          {"lr_decay_steps", schedule.lr_decay_steps}};
}

ordered_json distributed_json(const DistributedConfig& distributed) {
  return {{"zero_stage", distributed.zero_stage},
          {"reduce_dtype", distributed.reduce_dtype},
          {"heartbeat_seconds", distributed.heartbeat_seconds},
          {"hang_seconds", distributed.hang_seconds}};
}

}  // namespace

std::string dotted(std::string path) {
  path.erase(0, 1);
  for (char& c : path) c = c == '/' ? '.' : c;
  return path;
}

ordered_json to_json(const Config& config) {
  const DataConfig& data = config.data;
  return {{"model", model_json(config.model)},
          {"router", router_json(config.router)},
          {"data", {{"train", data.train}, {"val", data.val}, {"tokenizer", data.tokenizer}}},
          {"train", train_json(config.train)},
          {"optimizer", optimizer_json(config.optimizer)},
          {"schedule", schedule_json(config.schedule)},
          {"checkpoint", {{"every", config.checkpoint.every}, {"keep", config.checkpoint.keep}}},
          {"log", {{"every", config.log.every}}},
          {"distributed", distributed_json(config.distributed)},
          {"device", config.device},
          {"precision", config.precision},
          {"seed", config.seed}};
}

}  // namespace gptmoe
