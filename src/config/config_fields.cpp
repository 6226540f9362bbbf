#include "config/config_fields.h"

namespace gptmoe {
namespace {

// Limits on single sizes, well above any model trained so far; validate() bounds the products of sizes.
constexpr int64_t kMaxWidth = int64_t{1} << 20;
constexpr int64_t kMaxVocab = int64_t{1} << 24;
constexpr int64_t kMaxLayers = 1 << 14;
constexpr int64_t kMaxHeads = 1 << 14;
constexpr int64_t kMaxExperts = 1 << 16;
constexpr int64_t kMaxSeconds = 1 << 30;
constexpr int64_t kMaxTokens = int64_t{1} << 24;     // in a sequence
constexpr int64_t kMaxSequences = int64_t{1} << 24;  // in a batch
constexpr int64_t kMaxSteps = int64_t{1} << 40;

constexpr Integers kWidth{1, kMaxWidth}, kWidthOrNone{0, kMaxWidth}, kSteps{1, kMaxSteps}, kStepsOrNever{0, kMaxSteps},
    kSequences{1, kMaxSequences}, kSeconds{0, kMaxSeconds}, kAnyCount{};
constexpr Numbers kNotNegative{.min = 0}, kPositive{.min = 0, .open_min = true}, kShare{.min = 0, .max = 1},
    kBelowOne{.min = 0, .max = 1, .open_max = true}, kEpsilon{.min = 0, .max = 1, .open_min = true};

}  // namespace

static void visit_fields(Fields& fields, ModelConfig& model) {
  fields.about("The network. Names and meanings follow Hugging Face's configurations where those have the key.");
  fields.required("vocab_size", model.vocab_size, {2, kMaxVocab}, "Entries of the vocabulary, V.");
  fields.required("hidden_size", model.hidden_size, kWidth, "Width of the model, C.");
  fields.required("num_hidden_layers", model.num_hidden_layers, {1, kMaxLayers}, "Layers, L.");
  fields.required("num_attention_heads", model.num_attention_heads, {1, kMaxHeads}, "Query heads, H.");
  fields.derived("num_key_value_heads", model.num_key_value_heads, {1, kMaxHeads}, "num_attention_heads",
                 "Key and value heads, G; must divide num_attention_heads.");
  fields.derived("head_dim", model.head_dim, kWidth, "hidden_size / num_attention_heads",
                 "Size of a head, D; must be even.");
  fields.optional("intermediate_size", model.intermediate_size, kWidthOrNone,
                  "Hidden width of the dense layers; at least 1 if the model has dense layers.");
  fields.optional("moe_intermediate_size", model.moe_intermediate_size, kWidthOrNone,
                  "Hidden width of an expert, F; at least 1 if the model has experts.");
  fields.optional("num_experts", model.num_experts, {0, kMaxExperts},
                  "Experts per layer, E; 0 makes every layer dense.");
  fields.optional("num_experts_per_tok", model.num_experts_per_tok, {1, kMaxExperts},
                  "Experts that a token is routed to, K; at most num_experts.");
  fields.optional("n_shared_experts", model.n_shared_experts, {0, kMaxExperts},
                  "Additional experts that process every token; they run as one feed-forward network of their total "
                  "width.");
  fields.optional("first_k_dense_replace", model.first_k_dense_replace, {0, kMaxLayers},
                  "Number of leading layers that are dense in a model with experts.");
  fields.optional("norm_topk_prob", model.norm_topk_prob,
                  "Scales the K gates of a token to sum to 1; only for routers that allow it.");
  fields.optional("router_aux_loss_coef", model.router_aux_loss_coef, kNotNegative,
                  "Coefficient of each layer's load-balancing loss; the losses of all layers are summed.");
  fields.optional("balance_scope", model.balance_scope, {"micro_batch", "step"},
                  "Which tokens the balance loss counts for each expert, over all ranks: those of the current "
                  "micro-batch, or those of all micro-batches of the step so far.");
  fields.optional("router_z_loss_coef", model.router_z_loss_coef, kNotNegative,
                  "Coefficient of each layer's z-loss; the losses of all layers are summed.");
  fields.optional("hidden_act", model.hidden_act, {"silu", "gelu"},
                  "Feed-forward network: \"silu\" is SwiGLU (gate, up, down), \"gelu\" an MLP (up, down) with tanh "
                  "GELU.");
  fields.optional("norm_type", model.norm_type, {"rmsnorm", "layernorm"},
                  "Normalisation; \"layernorm\" has weights and biases.");
  fields.optional("rms_norm_eps", model.rms_norm_eps, kEpsilon, "Epsilon of the normalisations, for either norm_type.");
  fields.optional("qk_norm", model.qk_norm, "Applies an RMSNorm to the queries and one to the keys before RoPE.");
  fields.optional("qk_norm_scope", model.qk_norm_scope, {"row", "head"},
                  "What qk_norm normalises: a token's whole projection (\"row\", as in OLMoE) or each head (\"head\", "
                  "as in Qwen3).");
  fields.optional("attention_bias", model.attention_bias,
                  "Adds biases to the query, key, value and output projections of attention.");
  fields.optional("rope_theta", model.rope_theta, {.min = 1}, "Base of the rotary position embedding.");
  fields.derived("max_position_embeddings", model.max_position_embeddings, {1, kMaxTokens}, "train.sequence_length",
                 "Longest sequence of the model, in tokens.");
  fields.optional("tie_word_embeddings", model.tie_word_embeddings, "Uses the embedding's weights in the LM head too.");
  fields.optional(
      "logit_softcap", model.logit_softcap, {.min = 0, .max = 1000},
      "Cap c of the logits, which become c * tanh(logits / c), in training and everywhere else; 0: no cap.");
  fields.optional("output_z_loss_coef", model.output_z_loss_coef, kNotNegative,
                  "Coefficient of the output's z-loss, the mean of the squared log-sum-exp of the logits.");
  fields.optional("init", model.init, {"small_wang", "small", "normal", "gpt2"},
                  "Initialisation of the weights; docs/mathematics.md has the formulas.");
  fields.optional("initializer_range", model.initializer_range, kPositive,
                  "Standard deviation of the weights with \"normal\" and \"gpt2\".");
}

static void visit_fields(Fields& fields, RouterConfig& router) {
  fields.about("How tokens choose experts. Each router has its own keys, listed below.");
  fields.optional("type", router.type, "Name of the router.");
  fields.others(router.block);
}

static void visit_fields(Fields& fields, DataConfig& data) {
  fields.about("What the model is trained and validated on.");
  fields.required("train", data.train,
                  "Training shards: a glob, as in \"data/train_*.bin\", or a list of sources "
                  "([data.md](data.md#mixtures)).");
  fields.optional("val", data.val,
                  "Validation shards: a glob, or an object {\"NAME\": glob} of sets that are evaluated separately; "
                  "empty: no validation.");
  fields.optional("tokenizer", data.tokenizer,
                  "Path of the tokenizer that made the shards; generation and task scoring use it.");
  fields.optional("document_mask", data.document_mask,
                  "Restarts attention and positions after each end-of-text token, so that no token sees another "
                  "document ([data.md](data.md#documents-in-a-sequence)).");
  fields.optional("end_of_text", data.end_of_text, {-1, kMaxVocab - 1},
                  "Id of the end-of-text token, for document_mask; -1: the tokenizer's.");
}

static void visit_fields(Fields& fields, TasksConfig& tasks) {
  fields.about("Downstream tasks that the run scores as it trains ([eval.md](eval.md#scores-during-training)).");
  fields.optional("files", tasks.files,
                  "A task file or a folder of *.jsonl, or a list of them; empty: no task is scored.");
  fields.optional("every", tasks.every, kStepsOrNever, "Steps between scorings; 0: only after the last step.");
  fields.optional("limit", tasks.limit, kAnyCount, "Number of examples to score from the start of each file; 0: all.");
  fields.optional("shots", tasks.shots, kAnyCount,
                  "Number of solved examples from the same file to put before each example.");
}

static void visit_fields(Fields& fields, TrainConfig& train) {
  fields.about("The length of the run and the size of its batches.");
  fields.required("steps", train.steps, kSteps, "Optimizer steps of the run.");
  fields.required("sequence_length", train.sequence_length, {1, kMaxTokens}, "Tokens in a sequence, T.");
  fields.required(
      "micro_batch_size", train.micro_batch_size, kSequences, "auto",
      "Sequences that a rank processes at a time, B; \"auto\": the most that fit into memory when the run begins "
      "([runs.md](runs.md#choose-the-micro-batch-size)).");
  fields.derived("global_batch_size", train.global_batch_size, kSequences, "micro_batch_size",
                 "Sequences per step on all ranks together; a multiple of micro_batch_size times the number of ranks. "
                 "Required with micro_batch_size \"auto\".");
  fields.optional("eval_every", train.eval_every, kStepsOrNever,
                  "Steps between validations; 0: only after the last step.");
  fields.optional("eval_tokens", train.eval_tokens, kAnyCount,
                  "Tokens per validation, rounded down to whole sequences; 0: all.");
  fields.optional(
      "recompute", train.recompute, {"none", "block"},
      "\"block\" keeps only each layer's input and computes the rest again in the backward pass, which saves "
      "memory.");
  fields.optional(
      "init_from", train.init_from,
      "Run, checkpoint or Hugging Face folder whose weights this run starts from; empty: weights are initialised.");
  fields.optional(
      "init_noise", train.init_noise, kNotNegative,
      "With init_from: standard deviation of the noise added to each expert that starts as a copy of a dense "
      "layer, as a share of the root mean square of its weights.");
  fields.optional("cuda_graphs", train.cuda_graphs, "On a GPU, replays the work of a step with CUDA graphs.");
  fields.optional("skip_spikes", train.skip_spikes, kNotNegative,
                  "Skips a step whose loss or gradient norm is more than this many standard deviations above the mean "
                  "of the steps before it ([runs.md](runs.md#skip-spikes)); 0: skips none.");
  fields.optional("skip_spikes_window", train.skip_spikes_window, {4, 10000},
                  "Number of preceding steps with which skip_spikes compares a step.");
  fields.optional("weight_ema", train.weight_ema, kBelowOne,
                  "Decay of an exponential moving average of the weights, which is saved and evaluated beside them "
                  "([runs.md](runs.md#average-the-weights)); 0: no average.");
  fields.section("tasks", train.tasks);
}

static void visit_fields(Fields& fields, OptimizerConfig& optimizer) {
  fields.about("How gradients move the weights.");
  fields.optional("type", optimizer.type, {"adamw", "muon"},
                  "\"muon\" updates the weight matrices of attention and of the feed-forward layers with Muon, and "
                  "everything else with AdamW ([optimizers.md](optimizers.md)).");
  fields.required("learning_rate", optimizer.learning_rate, kPositive, "Highest learning rate of the schedule.");
  fields.optional("beta1", optimizer.beta1, kBelowOne, "Decay of the first moment.");
  fields.optional("beta2", optimizer.beta2, kBelowOne, "Decay of the second moment.");
  fields.optional("eps", optimizer.eps, kEpsilon, "Added to the root of the second moment.");
  fields.optional("weight_decay", optimizer.weight_decay, kNotNegative,
                  "Decoupled weight decay; multiplied by the learning rate.");
  fields.optional("grad_clip", optimizer.grad_clip, kNotNegative,
                  "If the global norm of the gradients is larger than this, they are scaled down to it; 0: no "
                  "clipping.");
  fields.optional("momentum", optimizer.momentum, kBelowOne, "Decay of Muon's momentum (Nesterov).");
  fields.optional("muon_scale", optimizer.muon_scale, {"match_rms_adamw", "original"},
                  "Factor on Muon's update of a matrix. \"match_rms_adamw\": 0.2 sqrt(max(rows, columns)), so that "
                  "AdamW's learning rate and weight decay fit; \"original\": sqrt(max(1, rows / columns)).");
  fields.optional("state_dtype", optimizer.state_dtype, {"f32", "bf16", "8bit"},
                  "Type in which the moments (AdamW's two, Muon's one) are kept between steps. \"bf16\" halves their "
                  "memory; \"8bit\" takes about a quarter "
                  "([optimizers.md](optimizers.md#moments-in-bf16-or-8-bits)).");
  fields.optional("groups", optimizer.groups,
                  "Parameters with an optimizer, learning rate or weight decay of their own, as a list of objects "
                  "({\"match\": \"*.mlp.gate.weight\", \"learning_rate_scale\": 0.5}; "
                  "[optimizers.md](optimizers.md#parameter-groups)). A parameter takes the first group that matches "
                  "its name.");
}

static void visit_fields(Fields& fields, ScheduleConfig& schedule) {
  fields.about("The learning rate over the run, which starts with a linear warm-up.");
  fields.optional("type", schedule.type, {"cosine", "constant", "wsd"},
                  "Shape after the warm-up; \"wsd\" is constant, then decays linearly.");
  fields.optional("warmup_steps", schedule.warmup_steps, kStepsOrNever,
                  "Steps in which the learning rate rises from 0 to the highest; at most train.steps.");
  fields.optional("min_lr_ratio", schedule.min_lr_ratio, kShare, "Lowest learning rate as a share of the highest.");
  fields.optional("decay_steps", schedule.decay_steps, kStepsOrNever,
                  "Steps of the final decay of \"wsd\"; at least 1 if type is \"wsd\".");
  fields.optional("lr_decay_steps", schedule.lr_decay_steps, kStepsOrNever,
                  "Step at which \"cosine\" reaches the lowest learning rate and stays there; 0: train.steps.");
}

static void visit_fields(Fields& fields, CheckpointConfig& checkpoint) {
  fields.about("When the run is saved.");
  fields.optional("minutes", checkpoint.minutes, kNotNegative,
                  "Minutes of training between checkpoints; 0: no checkpoints by time. The last step is always saved.");
  fields.optional("every", checkpoint.every, kStepsOrNever,
                  "Steps between additional checkpoints; 0: no additional ones.");
  fields.optional("keep", checkpoint.keep, kAnyCount, "Number of newest checkpoints to keep; 0: all.");
}

static void visit_fields(Fields& fields, LogConfig& log) {
  fields.about("What the run records.");
  fields.optional("every", log.every, kSteps, "Steps between \"train\" rows of metrics.jsonl.");
  fields.optional("tensorboard", log.tensorboard,
                  "Also writes the rows of metrics.jsonl into TensorBoard event files.");
}

static void visit_fields(Fields& fields, DistributedConfig& distributed) {
  fields.about("How several ranks share the work; ignored when there is only one.");
  fields.optional("zero_stage", distributed.zero_stage, {0, 2},
                  "0: every rank holds the whole optimizer and all gradients; 1: each rank holds only its part of the "
                  "optimizer (ZeRO stage 1); 2: also only its part of the gradients "
                  "([distributed.md](distributed.md#zero-stage-2)).");
  fields.optional("reduce_dtype", distributed.reduce_dtype, {"f32", "bf16"}, "Type in which ranks send gradients.");
  fields.optional("heartbeat_seconds", distributed.heartbeat_seconds, kSeconds,
                  "The job ends when a rank has not been heard from for this long; 0: never.");
  fields.optional("hang_seconds", distributed.hang_seconds, kSeconds,
                  "The job ends when a rank has made no progress for this long; 0: never.");
}

static void visit_fields(Fields& fields, KernelsConfig& kernels) {
  fields.about("Which kernels to use where there is a choice.");
  fields.optional(
      "hopper", kernels.hopper, {"auto", "on", "off"},
      "Kernels with instructions that only Hopper GPUs (H100, H200) have, in bf16. \"auto\" runs them if "
      "they passed their check on this GPU ([gpu.md](gpu.md#hoppers-kernels)); \"on\" runs them unchecked.");
}

void visit_fields(Fields& fields, Config& config) {
  fields.section("model", config.model);
  fields.section("router", config.router);
  fields.section("data", config.data);
  fields.section("train", config.train);
  fields.section("optimizer", config.optimizer);
  fields.section("schedule", config.schedule);
  fields.section("checkpoint", config.checkpoint);
  fields.section("log", config.log);
  fields.section("distributed", config.distributed);
  fields.section("kernels", config.kernels);
  fields.optional("device", config.device, {"auto", "cpu", "cuda"},
                  "Where to run; \"auto\" uses a GPU if there is one.");
  fields.optional(
      "precision", config.precision, {"auto", "f32", "bf16"},
      "Type of weights and activations. \"auto\" is bf16 on a GPU and f32 on a CPU. On a CPU, \"bf16\" only rounds "
      "the operands of matrix products and attention.");
  fields.optional("seed", config.seed, kAnyCount, "Seed of the weights and of the order of the data.");
}

}  // namespace gptmoe
