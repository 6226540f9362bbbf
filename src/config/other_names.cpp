#include "config/other_names.h"

#include <cctype>
#include <sstream>

#include "base/json.h"
#include "base/key_error.h"
#include "config/config.h"

namespace gptmoe {
namespace {

constexpr Synonyms kSynonyms[] = {
    // The model.
    {"model.vocab_size", "", "n_vocab padded_vocab_size"},
    {"model.hidden_size", "", "d_model n_embd n_embed dim embed_dim embedding_dim hidden_dim model_dim"},
    {"model.num_hidden_layers", "", "n_layer n_layers num_layers num_blocks n_blocks depth"},
    {"model.num_attention_heads", "", "n_head n_heads attention_heads"},
    {"model.num_key_value_heads", "", "n_kv_head n_kv_heads num_kv_heads num_query_groups"},
    {"model.head_dim", "", "d_head head_size kv_channels"},
    {"model.intermediate_size", "the width of an expert is \"model.moe_intermediate_size\"",
     "d_ff d_ffn ffn_dim ffn_hidden_size mlp_hidden_size n_inner"},
    {"model.moe_intermediate_size", "", "moe_ffn_hidden_size expert_dim expert_hidden_size"},
    {"model.num_experts", "", "n_experts n_expert num_local_experts n_routed_experts moe_num_experts"},
    {"model.num_experts_per_tok", "",
     "top_k moe_top_k moe_router_topk experts_per_token n_experts_per_token num_experts_per_token n_expert_used"},
    {"model.n_shared_experts", "", "num_shared_experts"},
    {"model.norm_topk_prob", "", "normalize_router_weights renormalize moe_renormalize"},
    {"model.router_aux_loss_coef", "", "aux_loss_coef aux_loss_weight moe_aux_loss_coeff load_balance_coef"},
    {"model.router_z_loss_coef", "", "z_loss_coef z_loss_weight moe_z_loss_coeff"},
    {"model.hidden_act", "", "activation activation_function activation_type act_fn"},
    {"model.norm_type", "", "norm normalization layer_norm_type"},
    {"model.rms_norm_eps", "", "norm_eps layer_norm_eps layer_norm_epsilon norm_epsilon"},
    {"model.rope_theta", "", "rope_base rotary_base rotary_emb_base"},
    {"model.max_position_embeddings", "", "n_positions n_ctx max_seq_len max_sequence_length context_length"},
    {"model.tie_word_embeddings", "", "tie_weights tied_embeddings tie_embeddings weight_tying"},
    {"model.tie_word_embeddings", "with the opposite value", "untie_embeddings_and_output_weights"},
    {"model.logit_softcap", "", "final_logit_softcapping final_logit_softcap logit_softcapping"},
    {"model.output_z_loss_coef", "", "softmax_auxiliary_loss_scale"},
    {"model.initializer_range", "", "init_std init_method_std"},
    {"", "gptmoe has no dropout; remove the key",
     "dropout attention_dropout attn_dropout hidden_dropout resid_dropout embd_pdrop attn_pdrop resid_pdrop"},
    {"", "this is the config of a Hugging Face model; a run's config holds the model's sizes in \"model\"",
     "architectures model_type transformers_version"},
    // The run.
    {"train.steps", "", "max_steps max_iters train_iters train_steps num_steps n_steps total_steps num_iterations"},
    {"", "the length of a run is \"train.steps\"; an epoch is tokens / (global_batch_size * sequence_length) steps",
     "epochs num_epochs max_epochs num_train_epochs"},
    {"train.sequence_length", "", "block_size seq_len seq_length context_size"},
    {"train.micro_batch_size", "or \"train.global_batch_size\", the sequences of a whole step", "batch_size"},
    {"train.micro_batch_size", "",
     "device_batch_size per_device_train_batch_size device_train_microbatch_size train_micro_batch_size_per_gpu"},
    {"train.global_batch_size", "in sequences", "train_batch_size total_batch_size global_train_batch_size"},
    {"train.global_batch_size", "which is micro_batch_size times ranks times accumulated micro-batches",
     "gradient_accumulation_steps grad_accum_steps grad_accumulation accumulate_grad_batches"},
    {"train.eval_every", "in steps", "eval_interval eval_steps val_interval val_every val_check_interval"},
    {"train.eval_tokens", "in tokens", "eval_iters eval_batches val_batches"},
    {"train.recompute", "", "gradient_checkpointing activation_checkpointing activation_recompute"},
    {"data.train", "", "train_data train_data_path train_path dataset data_path"},
    {"data.val", "", "val_data val_data_path valid_data_path val_path valid validation"},
    {"data.document_mask", "",
     "intra_document_mask intra_doc_mask intra_document_masking doc_mask reset_attention_mask"},
    {"data.end_of_text", "", "eos_token_id eos_id eot_id eod_id"},
    {"data.tokenizer", "", "tokenizer_path tokenizer_file tokenizer_name"},
    {"optimizer.learning_rate", "", "lr max_lr peak_lr base_lr max_learning_rate peak_learning_rate"},
    {"optimizer.beta1", "and \"optimizer.beta2\"", "betas adam_betas"},
    {"optimizer.beta1", "", "adam_beta1"},
    {"optimizer.beta2", "", "adam_beta2"},
    {"optimizer.eps", "", "epsilon adam_eps adam_epsilon"},
    {"optimizer.weight_decay", "", "wd"},
    {"optimizer.grad_clip", "", "clip_grad clip max_norm max_grad_norm gradient_clipping gradient_clip_val"},
    {"optimizer.momentum", "", "muon_momentum"},
    {"optimizer.groups", "", "param_groups parameter_groups"},
    {"schedule.type", "", "lr_scheduler lr_scheduler_type lr_schedule lr_decay_style"},
    {"schedule.warmup_steps", "in steps",
     "warmup warmup_iters warmup_ratio lr_warmup_iters lr_warmup_steps num_warmup_steps"},
    {"schedule.min_lr_ratio", "as a share of learning_rate", "min_lr end_lr final_lr min_learning_rate"},
    {"schedule.lr_decay_steps", "", "lr_decay_iters"},
    {"checkpoint.every", "in steps", "save_interval save_steps save_every checkpoint_interval checkpoint_every"},
    {"checkpoint.keep", "", "save_total_limit keep_checkpoints keep_last"},
    {"log.every", "in steps", "log_interval logging_steps log_every"},
    {"precision", "", "dtype torch_dtype mixed_precision amp bf16 fp16"},
    {"seed", "", "random_seed manual_seed"},
    {"", "name the run's folder on the command line: --out DIR", "out out_dir output_dir save_dir run_dir"},
    {"", "continue a run on the command line: --resume", "resume resume_from resume_from_checkpoint"},
};

std::string plain(const std::string& name) {
  std::string out;
  for (const char c : name)
    if (c != '_' && c != '-') out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// The path of the key with this name; empty unless exactly one section has such a key.
std::string only_path_of(const std::string& name) {
  std::string found;
  const auto every_key = to_json(Config()).flatten();
  for (const auto& [flat, ignored] : every_key.items()) {
    const std::string path = dotted(flat);
    if (plain(last_name(path)) != name) continue;
    if (!found.empty()) return "";
    found = path;
  }
  return found;
}

}  // namespace

std::span<const Synonyms> other_names() { return kSynonyms; }

KeyHint hint_for_key(const std::string& path) {
  const std::string name = plain(last_name(path));
  for (const Synonyms& synonyms : kSynonyms) {
    std::istringstream names(synonyms.names);
    for (std::string other; names >> other;)
      if (plain(other) == name) return {synonyms.path, synonyms.remark};
  }
  return {only_path_of(name), ""};
}

}  // namespace gptmoe
