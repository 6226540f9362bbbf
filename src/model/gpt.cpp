#include "model/gpt.h"

#include <algorithm>

#include "model/data_parallel.h"

namespace gptmoe {
namespace {

// Rows of logits held at a time: as many as the backend prefers, rounded down to whole tiles of a matrix product if
// there is at least one whole tile.
int64_t logit_rows(const Ops& ops, int64_t N, int64_t V) {
  constexpr int64_t kMinRows = 64, kTileRows = 128;
  const int64_t rows = std::max(kMinRows, ops.logit_elements() / V);
  return std::min(N, rows > kTileRows ? rows / kTileRows * kTileRows : rows);
}

}  // namespace

Gpt::Gpt(const ModelConfig& config, const RouterConfig& router, DType real, DType stat, int ranks, int64_t document_end)
    : config_(config), document_end_(document_end), params_(real, ranks) {
  const LayerSetup setup{config_, params_, state_, stat, InitScheme(config_)};
  const int64_t V = config_.vocab_size, C = config_.hidden_size;
  const Init init = Init::normal(setup.init.weight);
  weights_.embedding_VC = params_.add({"model.embed_tokens.weight", {V, C}, init});
  params_.end_bucket();
  for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    blocks_.emplace_back(setup, router, layer);
    params_.end_bucket();
  }
  final_norm_.emplace(setup, "model.norm");
  weights_.head_VC =
      config_.tie_word_embeddings ? weights_.embedding_VC : params_.add({"lm_head.weight", {V, C}, init});
  params_.end_bucket();
}

int64_t Gpt::active_parameter_count() const {
  int64_t count = params_.parameter_count();
  for (const TransformerBlock& block : blocks_)
    if (const MoeLayer* moe = block.moe()) count -= moe->idle_parameter_count();
  return count;
}

double Gpt::live_share() const {
  for (const TransformerBlock& block : blocks_)
    if (const MoeLayer* moe = block.moe()) return moe->live_share();
  return 1;
}

Activations Gpt::allocate(Arena& arena, const Ops& ops, int64_t B, int64_t T, ActivationMode mode) const {
  const DType real = ops.compute_dtype(), stat = ops.statistics_dtype();
  const int64_t N = B * T, C = config_.hidden_size, V = config_.vocab_size;
  const int64_t layers = config_.num_hidden_layers, moe_layers = config_.moe_layers();
  const bool shared = mode != ActivationMode::train;
  Activations a;
  a.mode = mode;
  a.rope = allocate_rope(arena, stat, T);
  if (document_end_ >= 0) a.rope.starts_BT = arena.allocate(DType::i32, {B, T});
  a.tokens_BT = arena.allocate(DType::i32, {B, T});
  a.targets_BT = arena.allocate(DType::i32, {B, T});
  if (moe_layers > 0)
    a.router_stats_LW = arena.allocate(stat, {moe_layers, MoeLayer::stats_width(config_.num_experts)});

  const int64_t streams = mode == ActivationMode::forward_only ? 2 : layers + 1;
  for (int64_t i = 0; i <= layers; ++i)
    a.stream_NC.push_back(i < streams ? arena.allocate(real, {N, C}) : a.stream_NC[static_cast<size_t>(i - streams)]);

  const int64_t mark = arena.used();
  int64_t end = mark;
  int64_t moe_layer = 0;
  for (const TransformerBlock& block : blocks_) {
    if (shared) arena.rewind(mark);
    Tensor stats_W;
    if (block.moe())
      stats_W = a.router_stats_LW.rows(moe_layer++, 1).view({MoeLayer::stats_width(config_.num_experts)});
    a.blocks.push_back(block.allocate(arena, ops, B, T, stats_W));
    end = std::max(end, arena.used());
  }
  arena.rewind(end);

  a.final_norm = final_norm_->allocate(arena, ops, N);
  a.final_NC = arena.allocate(real, {N, C});
  a.losses_N = arena.allocate(stat, {N});
  if (config_.output_z_loss_coef > 0) {
    a.lse_N = arena.allocate(stat, {N});
    a.z_loss_1 = arena.allocate(stat, {1});
  }
  a.logits_MV = arena.allocate(real, {logit_rows(ops, N, V), V});
  if (mode != ActivationMode::forward_only) {
    a.dfinal_NC = arena.allocate(real, {N, C});
    a.dstream_NC = arena.allocate(real, {N, C});
  }
  return a;
}

RopeTables Gpt::allocate_rope(Arena& arena, DType stat, int64_t X) const {
  return {arena.allocate(stat, {X, config_.head_dim / 2}), arena.allocate(stat, {X, config_.head_dim / 2})};
}

KeyValueCache Gpt::allocate_cache(Arena& arena, const Ops& ops, int64_t B, int64_t X) const {
  KeyValueCache cache{allocate_rope(arena, ops.statistics_dtype(), X), {}};
  for (const TransformerBlock& block : blocks_)
    cache.kv_BX2GD.push_back(block.attention().allocate_cache(arena, ops, B, X));
  return cache;
}

void Gpt::prepare(Ops& ops, const RopeTables& rope) const {
  ops.rope_tables(rope.cos_XP, rope.sin_XP, config_.rope_theta);
}

void Gpt::initialize(Memory& memory, uint64_t seed) {
  params_.initialize(memory, seed);
  for (const TransformerBlock& block : blocks_)
    if (const MoeLayer* moe = block.moe()) moe->policy().initialize_state(memory, seed);
}

void Gpt::forward(const Pass& pass, const Activations& a) const {
  const int64_t N = a.tokens_BT.count();
  if (a.rope.starts_BT.present()) pass.ops.document_starts(a.rope.starts_BT, a.tokens_BT, document_end_);
  await_weights(pass, kEmbeddingBucket);
  pass.ops.embedding_forward(a.stream_NC[0], params_.value(weights_.embedding_VC), a.tokens_BT.view({N}));
  for (size_t l = 0; l < blocks_.size(); ++l) {
    await_weights(pass, layer_bucket(l));
    blocks_[l].forward(pass, a.blocks[l], a.rope, a.stream_NC[l + 1], a.stream_NC[l]);
  }
  await_weights(pass, last_bucket());
  final_norm_->forward(pass, a.final_norm, a.final_NC, a.stream_NC.back());
}

void Gpt::loss(const Pass& pass, const Activations& a) const {
  pass.ops.lm_head_loss(a.losses_N, a.lse_N, Tensor{}, Tensor{}, a.final_NC, params_.value(weights_.head_VC),
                        a.targets_BT.view({a.losses_N.size(0)}), 0, a.logits_MV, 0, config_.logit_softcap);
}

void Gpt::loss_and_backward(const Pass& pass, const Activations& a, double loss_scale) const {
  if (pass.reducer) pass.reducer->begin_backward(pass, params_);
  pass.ops.lm_head_loss(a.losses_N, a.lse_N, a.dfinal_NC, params_.grad(weights_.head_VC), a.final_NC,
                        params_.value(weights_.head_VC), a.targets_BT.view({a.losses_N.size(0)}), loss_scale,
                        a.logits_MV, config_.output_z_loss_coef, config_.logit_softcap);
  if (a.z_loss_1.present()) pass.ops.z_loss_forward(a.z_loss_1, a.lse_N);
  backward(pass, a);
}

void Gpt::backward(const Pass& pass, const Activations& a) const {
  pass.ops.zero(a.dstream_NC);
  final_norm_->backward(pass, a.final_norm, a.dstream_NC, a.dfinal_NC, a.stream_NC.back());
  gradients_complete(pass, last_bucket());
  for (size_t l = blocks_.size(); l-- > 0;) {
    // The blocks share memory, which still holds the last block's activations after the forward pass.
    if (a.mode == ActivationMode::train_recompute && l + 1 < blocks_.size())
      blocks_[l].forward(pass.as(PassKind::recompute), a.blocks[l], a.rope, a.dfinal_NC, a.stream_NC[l]);
    blocks_[l].backward(pass, a.blocks[l], a.rope, a.dstream_NC, a.stream_NC[l]);
    gradients_complete(pass, layer_bucket(l));
  }
  pass.ops.embedding_backward(params_.grad(weights_.embedding_VC), a.dstream_NC,
                              a.tokens_BT.view({a.tokens_BT.count()}));
  gradients_complete(pass, kEmbeddingBucket);
}

void Gpt::await_weights(const Pass& pass, int bucket) const {
  if (pass.gatherer) pass.gatherer->await(pass, params_, bucket);
}

void Gpt::gradients_complete(const Pass& pass, int bucket) const {
  if (pass.reducer) pass.reducer->reduce(pass, params_, bucket);
}

void Gpt::logits(const Pass& pass, const Activations& a, const Tensor& logits_MV, int64_t first, int64_t count) const {
  pass.ops.linear_forward(logits_MV, a.final_NC.rows(first, count), params_.value(weights_.head_VC));
  if (config_.logit_softcap > 0) pass.ops.softcap(logits_MV, config_.logit_softcap);
}

void Gpt::end_step(const Pass& pass) const {
  for (const TransformerBlock& block : blocks_)
    if (const MoeLayer* moe = block.moe()) moe->end_step(pass);
}

}  // namespace gptmoe
