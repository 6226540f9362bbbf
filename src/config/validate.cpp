#include "config/validate.h"

#include <algorithm>

#include "base/key_error.h"

namespace gptmoe {
namespace {

class Rules {
 public:
  explicit Rules(const std::string& file) : file_(file) {}

  template <typename... Why>
  void require(bool holds, const std::string& path, const Why&... why) const {
    if (!holds) throw KeyError(file_, path, text(why...));
  }

 private:
  const std::string& file_;
};

void check_attention(const ModelConfig& model, const Rules& rules) {
  rules.require(model.num_attention_heads % model.num_key_value_heads == 0, "model.num_key_value_heads",
                model.num_key_value_heads, " does not divide num_attention_heads ", model.num_attention_heads,
                "; change one of them");
  rules.require(model.head_dim % 2 == 0, "model.head_dim", "must be even, not ", model.head_dim,
                ", since RoPE rotates pairs");
  rules.require(model.qk_norm || model.qk_norm_scope == "row", "model.qk_norm_scope",
                "\"head\" has no effect without the norm; set model.qk_norm to true");
}

void check_feed_forward(const ModelConfig& model, const Rules& rules) {
  rules.require(model.first_k_dense_replace <= model.num_hidden_layers, "model.first_k_dense_replace",
                "must be at most num_hidden_layers ", model.num_hidden_layers, ", not ", model.first_k_dense_replace);
  const bool any_dense = model.num_experts == 0 || model.first_k_dense_replace > 0;
  rules.require(!any_dense || model.intermediate_size > 0, "model.intermediate_size",
                "must be at least 1: it is the width of the dense layers, which ",
                model.num_experts == 0 ? "num_experts 0" : "first_k_dense_replace", " requires");
  rules.require(model.num_experts > 0 || model.n_shared_experts == 0, "model.n_shared_experts",
                "must be 0 without experts, not ", model.n_shared_experts, "; or give num_experts");
  if (model.num_experts == 0) return;
  rules.require(model.moe_intermediate_size > 0, "model.moe_intermediate_size",
                "must be at least 1: it is the width of each of the ", model.num_experts, " experts");
  rules.require(model.num_experts_per_tok <= model.num_experts, "model.num_experts_per_tok",
                "must be at most num_experts ", model.num_experts, ", not ", model.num_experts_per_tok);
}

void check_training(const Config& config, const Rules& rules) {
  const TrainConfig& train = config.train;
  rules.require(!config.data.train.empty(), "data.train", "must name the training shards, as in \"data/train_*.bin\"");
  for (size_t i = 0; i < config.data.val.size(); ++i)
    rules.require(config.data.val[i].weight == 0 && config.data.val[i].epochs == 0, text("data.val[", i, "]"),
                  "validation sets are read once each; remove \"weight\" and \"epochs\"");
  rules.require(config.data.end_of_text < config.model.vocab_size, "data.end_of_text",
                "must be below model.vocab_size ", config.model.vocab_size, ", not ", config.data.end_of_text);
  for (size_t i = 0; i < train.tasks.files.size(); ++i)
    rules.require(train.tasks.files[i] == DataSource{train.tasks.files[i].path}, text("train.tasks.files[", i, "]"),
                  "tasks have the names of their files; give only a path");
  rules.require(train.sequence_length <= config.model.max_position_embeddings, "train.sequence_length",
                "must be at most model.max_position_embeddings ", config.model.max_position_embeddings, ", not ",
                train.sequence_length);
  rules.require(train.auto_micro_batch() || train.global_batch_size % train.micro_batch_size == 0,
                "train.global_batch_size", train.global_batch_size, " is not a multiple of micro_batch_size ",
                train.micro_batch_size, "; change one of them");
}

void check_schedule(const ScheduleConfig& schedule, int64_t steps, const Rules& rules) {
  rules.require(schedule.warmup_steps <= steps, "schedule.warmup_steps", "must be at most train.steps ", steps,
                ", not ", schedule.warmup_steps);
  rules.require(schedule.lr_decay_steps == 0 || schedule.type == "cosine", "schedule.lr_decay_steps",
                "must be 0 with schedule.type \"", schedule.type, "\": it is the length of a cosine");
  rules.require(schedule.lr_decay_steps == 0 || schedule.lr_decay_steps >= schedule.warmup_steps,
                "schedule.lr_decay_steps", "must be at least warmup_steps ", schedule.warmup_steps, ", not ",
                schedule.lr_decay_steps);
  if (schedule.type != "wsd") return;
  rules.require(schedule.decay_steps > 0, "schedule.decay_steps", "must be at least 1 with schedule.type \"wsd\"");
  rules.require(schedule.warmup_steps + schedule.decay_steps <= steps, "schedule.decay_steps",
                "warmup_steps + decay_steps must be at most train.steps ", steps, ", not ", schedule.warmup_steps,
                " + ", schedule.decay_steps);
}

// Upper bounds, in double so that they cannot overflow. 2^56 values of 16 bytes stay below 2^63 bytes.
void check_totals(const Config& config, const Rules& rules) {
  constexpr double kMost = 72057594037927936.0;  // 2^56
  const ModelConfig& model = config.model;
  const auto real = [](int64_t value) { return static_cast<double>(value); };
  const double width = real(model.hidden_size), layers = real(model.num_hidden_layers);
  const double attention = 4.0 * real(model.num_attention_heads) * real(model.head_dim);
  const double expert = 3.0 * real(model.moe_intermediate_size), dense = 3.0 * real(model.intermediate_size);
  const double shared = real(model.n_shared_experts) * expert;

  const double layer_columns = attention + real(model.num_experts) * (expert + 1) + shared + dense + 4;
  rules.require(2 * real(model.vocab_size) * width + layers * layer_columns * width < kMost, "model",
                "the parameters would be more than a 64-bit count of bytes can hold; lower the sizes");

  const double micro_batch = std::max(1.0, real(config.train.micro_batch_size));  // "auto" is at least 1
  const double tokens = micro_batch * real(config.train.sequence_length);
  const double token_values = layers * (16 * width + attention + 2 * real(model.num_experts) + shared + dense +
                                        real(model.num_attention_heads) * real(config.train.sequence_length) +
                                        real(model.num_experts_per_tok) * (2 * width + 2 * expert)) +
                              real(model.vocab_size);
  rules.require(tokens * token_values < kMost, "train.micro_batch_size",
                "one micro-batch would be more than a 64-bit count of bytes can hold; lower it or sequence_length");
  constexpr double kMostRows = 2147483648.0;  // routed rows are indexed with 32 bits; a router may run every expert
  rules.require(tokens * std::max(1.0, real(model.num_experts)) < kMostRows, "train.micro_batch_size",
                "one micro-batch would have more (token, expert) pairs than a 32-bit index can count; lower it or "
                "sequence_length");
  rules.require(
      real(config.train.steps) * real(config.train.global_batch_size) * real(config.train.sequence_length) < kMost,
      "train.steps", "the run's tokens would be more than a 64-bit count can hold; lower it");
}

}  // namespace

void validate(const Config& config, const std::string& file) {
  const Rules rules(file);
  check_attention(config.model, rules);
  check_feed_forward(config.model, rules);
  check_training(config, rules);
  check_schedule(config.schedule, config.train.steps, rules);
  check_totals(config, rules);
}

}  // namespace gptmoe
