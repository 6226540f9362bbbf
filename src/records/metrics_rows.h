#pragma once
// The rows of metrics.jsonl, one JSON object per line. The trainer writes them and reports read them;
// docs/run_files.md lists their fields.
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "records/record.h"

namespace gptmoe {

// Traffic of one kind between ranks in a step.
struct TrafficRow {
  int64_t bytes = 0;
  std::optional<double> seconds;
};

struct TrainRow {
  static constexpr const char* kEvent = "train";
  int64_t step = 0;
  int64_t tokens = 0;
  double loss = 0;
  double lr = 0;
  double grad_norm = 0;
  double tokens_per_second = 0;
  std::optional<double> mfu;
  std::optional<double> output_z_loss;      // absent without model.output_z_loss_coef
  std::optional<double> load_balance_loss;  // this and the next five: absent in dense models
  std::vector<double> load_balance_loss_by_layer;
  std::optional<double> expert_load_max, expert_load_min;
  std::vector<double> expert_load_max_by_layer, expert_load_min_by_layer;
  std::optional<double> default_norm_mean, default_norm_max;  // absent without default vectors
  std::optional<int64_t> memory_bytes;
  std::optional<Named<TrafficRow>> communication;
  std::optional<Named<double>> source_share;  // absent if there is one source
  std::optional<int64_t> skipped_steps;       // absent if the run never had train.skip_spikes
  double seconds = 0;
  std::optional<double> time;  // absent in older files
};

struct EvalRow {
  static constexpr const char* kEvent = "eval";
  int64_t step = 0;
  int64_t tokens = 0;
  double val_loss = 0;
  std::optional<Named<double>> val_loss_by_set;  // absent if the validation text has no name
  std::optional<double> val_loss_ema;            // absent without train.weight_ema
  double seconds = 0;
  std::vector<std::vector<double>> expert_load;  // [MoE layer][expert]; this and the next two: empty in dense models
  std::vector<double> router_entropy;            // [MoE layer]
  std::vector<double> load_balance_loss_by_layer;
  std::vector<double> fill_share;
  std::optional<double> time;
};

// A model's scores on one downstream task; docs/eval.md defines them.
struct TaskScoreRow {
  // What was scored: the first `examples` examples of the file with this checksum, each after `shots` solved ones.
  // Absent in older files.
  std::optional<std::string> file_checksum;
  std::optional<int64_t> shots;
  int64_t examples = 0;
  double acc = 0, acc_stderr = 0;
  std::optional<double> acc_norm, acc_token;  // multiple choice
  std::optional<double> perplexity;           // completion
  std::optional<double> chance;               // absent for completions
};

// Scores of train.tasks.
struct TasksRow {
  static constexpr const char* kEvent = "tasks";
  int64_t step = 0;
  int64_t tokens = 0;
  Named<TaskScoreRow> tasks;
  double seconds = 0;
  std::optional<double> time;
};

struct DivergedRow {
  static constexpr const char* kEvent = "diverged";
  int64_t step = 0;
  int64_t tokens = 0;
  double seconds = 0;
  std::optional<double> time;
};

// First row of a file from which tools/thin_runs.sh has removed train rows.
struct ThinnedRow {
  static constexpr const char* kEvent = "thinned";
  int64_t step = 0;
  int64_t train_rows = 0;
  std::optional<int64_t> loss_spikes;
};

inline constexpr const char* kTimeSentence = "When the row was written, in seconds since 1970-01-01 00:00 UTC.";

template <typename Visitor, Is<TrafficRow> Row>
void visit_fields(Visitor& visitor, Row& row) {
  visitor.field("bytes", row.bytes, "Bytes that rank 0 sent.");
  visitor.maybe("seconds", row.seconds, "Seconds that training waited for this traffic; absent if unknown.");
}

template <typename Visitor, Is<TrainRow> Row>
void visit_fields(Visitor& visitor, Row& row) {
  visitor.field("step", row.step, "Optimizer steps done.");
  visitor.field("tokens", row.tokens, "Training tokens seen.");
  visitor.field("loss", row.loss, "Mean cross-entropy of the step in nats per token, without auxiliary losses.");
  visitor.field("lr", row.lr, "Learning rate of the step.");
  visitor.field("grad_norm", row.grad_norm, "Global norm of the gradients before clipping.");
  visitor.field("tokens_per_second", row.tokens_per_second, "Training speed since the last row.");
  visitor.maybe("mfu", row.mfu,
                "Model FLOP/s divided by the FLOP/s of large matrix products, which the run measures when it starts.");
  visitor.maybe("output_z_loss", row.output_z_loss,
                "Mean of the squared log-sum-exp of the logits, without the coefficient; absent if "
                "model.output_z_loss_coef is 0.");
  visitor.maybe("load_balance_loss", row.load_balance_loss,
                "Mean load-balancing loss of the MoE layers; 1 is balanced.");
  visitor.maybe("load_balance_loss_by_layer", row.load_balance_loss_by_layer,
                "Load-balancing loss of each MoE layer; 1 is balanced.");
  visitor.maybe("expert_load_max", row.expert_load_max,
                "Largest share of a layer's assignments that one expert received.");
  visitor.maybe("expert_load_min", row.expert_load_min,
                "Smallest share of a layer's assignments that one expert received.");
  visitor.maybe("expert_load_max_by_layer", row.expert_load_max_by_layer,
                "Share of the assignments of each MoE layer that its busiest expert received.");
  visitor.maybe("expert_load_min_by_layer", row.expert_load_min_by_layer,
                "Share of the assignments of each MoE layer that its idlest expert received.");
  visitor.maybe("default_norm_mean", row.default_norm_mean,
                "Mean norm of the default vectors of all layers after the step; absent without default vectors.");
  visitor.maybe("default_norm_max", row.default_norm_max,
                "Largest norm of the default vectors of all layers after the step; absent without default vectors.");
  visitor.maybe("memory_bytes", row.memory_bytes,
                "Memory of rank 0 in bytes: on a CPU, the resident memory of its process; on a GPU, its allocations.");
  visitor.maybe("communication", row.communication, "Traffic between ranks in the step, by kind; absent on one rank.");
  visitor.maybe(
      "source_share", row.source_share,
      "Share of the tokens that came from each source of a mixture, by the source's name; removed sources do not "
      "count.");
  visitor.maybe("skipped_steps", row.skipped_steps,
                "Steps that train.skip_spikes has skipped so far in the run; absent if it was never on.");
  visitor.field("seconds", row.seconds, "Time spent training so far, without evaluations and checkpoints.");
  visitor.maybe("time", row.time, kTimeSentence);
}

template <typename Visitor, Is<EvalRow> Row>
void visit_fields(Visitor& visitor, Row& row) {
  visitor.field("step", row.step, "Optimizer steps done.");
  visitor.field("tokens", row.tokens, "Training tokens seen.");
  visitor.field("val_loss", row.val_loss, "Mean cross-entropy of the validation tokens in nats per token.");
  visitor.derived("val_perplexity", std::exp(row.val_loss), "exp(val_loss).");
  visitor.maybe("val_loss_by_set", row.val_loss_by_set,
                "Mean cross-entropy of each validation set, by its name; val_loss is the mean over the tokens of all "
                "sets.");
  visitor.maybe("val_loss_ema", row.val_loss_ema,
                "val_loss of the weights' moving average; absent without train.weight_ema.");
  visitor.field("seconds", row.seconds, "Time spent training so far, without evaluations and checkpoints.");
  visitor.maybe("expert_load", row.expert_load, "Share of each MoE layer's assignments that each expert received.");
  visitor.maybe("router_entropy", row.router_entropy, "Mean entropy of each MoE layer's router in nats.");
  visitor.maybe("load_balance_loss_by_layer", row.load_balance_loss_by_layer,
                "Load-balancing loss of each MoE layer; 1 is balanced.");
  visitor.maybe(
      "fill_share", row.fill_share,
      "For each MoE layer: norm of the vectors that replace the outputs of unchosen experts, divided by the norm of "
      "the layer's output; absent if the router has no such vectors.");
  visitor.maybe("time", row.time, kTimeSentence);
}

template <typename Visitor, Is<TaskScoreRow> Row>
void visit_fields(Visitor& visitor, Row& row) {
  visitor.maybe("file_checksum", row.file_checksum, "Checksum of the task's file; absent in older files.");
  visitor.maybe("shots", row.shots, "Solved examples before each example; absent in older files.");
  visitor.field("examples", row.examples, "Number of examples scored, from the start of the file.");
  visitor.field("acc", row.acc, "Accuracy: the share of examples whose likeliest candidate is the right one.");
  visitor.field("acc_stderr", row.acc_stderr, "Standard error of acc; null for a single example.");
  visitor.maybe("acc_norm", row.acc_norm, "Accuracy by likelihood per character; only for multiple choice.");
  visitor.maybe("acc_token", row.acc_token, "Accuracy by likelihood per token; only for multiple choice.");
  visitor.maybe("perplexity", row.perplexity, "Perplexity of the continuations; only for completion.");
  visitor.maybe("chance", row.chance, "Accuracy of guessing; absent for completion.");
}

template <typename Visitor, Is<TasksRow> Row>
void visit_fields(Visitor& visitor, Row& row) {
  visitor.field("step", row.step, "Optimizer steps done.");
  visitor.field("tokens", row.tokens, "Training tokens seen.");
  visitor.field("tasks", row.tasks, "The scores of each task, by its name.");
  visitor.field("seconds", row.seconds, "Time spent training so far, without evaluations and checkpoints.");
  visitor.maybe("time", row.time, kTimeSentence);
}

template <typename Visitor, Is<DivergedRow> Row>
void visit_fields(Visitor& visitor, Row& row) {
  visitor.field("step", row.step, "The step whose numbers were not finite.");
  visitor.field("tokens", row.tokens, "Training tokens seen before that step.");
  visitor.field("seconds", row.seconds, "Time spent training before that step.");
  visitor.maybe("time", row.time, kTimeSentence);
}

template <typename Visitor, Is<ThinnedRow> Row>
void visit_fields(Visitor& visitor, Row& row) {
  visitor.field("step", row.step, "Always 0.");
  visitor.field("train_rows", row.train_rows, "Train rows of the original file.");
  visitor.maybe("loss_spikes", row.loss_spikes,
                "Loss spikes among those rows; null if there were too few rows to tell.");
}

}  // namespace gptmoe
