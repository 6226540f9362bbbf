#pragma once
// The model's weights, and what one micro-batch leaves for the backward pass. The layers keep gradients of activations
// in scratch; router state is in the StateTable.
//
// Letters, and the keys of the config ("model") that set them:
//   B micro_batch_size, T sequence_length, N = B*T
//   V vocab_size, C hidden_size
//   H num_attention_heads, G num_key_value_heads, D head_dim, S = H + 2G, Q = H*D, J = G*D, O = S*D, P = D/2
//   E num_experts, K num_experts_per_tok, R = N*K
//   F intermediate_size of a dense layer, moe_intermediate_size of an expert, n_shared_experts times as much for the
//   shared experts; U = 2F with hidden_act "silu", else F
//   L layers, or MoE layers in router statistics; M rows of logits at a time; W values that a layer or a policy keeps
// Tensors are real unless marked stat (kernels/ops.h). Weights are rows of the ParamTable; their gradients are stat.
#include <vector>

#include "memory/param_table.h"
#include "routing/routing_policy.h"

namespace gptmoe {

// ---- Weights -------------------------------------------------------------------------------------
struct NormWeights {
  ParamId weight_C;
  ParamId bias_C;  // LayerNorm only
};

struct AttentionWeights {
  ParamId qkv_OC;                  // rows of q_proj, k_proj, v_proj
  ParamId out_CQ;                  // o_proj
  ParamId qkv_bias_O, out_bias_C;  // with attention_bias only
  ParamId q_norm, k_norm;          // with qk_norm only: (Q) and (J), or (D) each with qk_norm_scope "head"
};

struct MlpWeights {
  ParamId up_UC;    // rows of gate_proj (with U = 2F), up_proj
  ParamId down_CF;  // down_proj
};

struct MoeWeights {
  ParamId gate_EC;  // stat: the router
  ParamId up_EUC;   // per expert, laid out as in MlpWeights
  ParamId down_ECF;
};

struct GptWeights {
  ParamId embedding_VC;
  ParamId head_VC;  // with tie_word_embeddings, embedding_VC itself
};

// ---- Activations ---------------------------------------------------------------------------------
// The positions of a pass's tokens, shared by all layers: tables of the rotary embedding for X >= T positions, and
// where documents start.
struct RopeTables {
  Tensor cos_XP, sin_XP;  // stat
  int64_t first = 0;      // the position of each sequence's first token; above 0, a cache holds the tokens before it
  // i32, written by Gpt::forward(): the position of the first token of each token's document. Attention and positions
  // begin there. Absent if Gpt::document_end() is -1.
  Tensor starts_BT = {};
};

// The keys and values of the earlier tokens of B texts, for up to X positions. A pass over a few new tokens that uses
// them gives the results that a pass over the whole texts would give. See Activations::continue_texts().
struct KeyValueCache {
  RopeTables rope;
  std::vector<Tensor>
      kv_BX2GD;  // per layer; at each position the keys of all heads as attention reads them, then values
};

struct NormSaved {
  Tensor mean_N, rstd_N;  // stat; mean for LayerNorm only
};

struct AttentionSaved {
  Tensor projected_BTSD;  // queries, keys, values before QK-norm; with QK-norm only
  Tensor qk_rstd;         // stat, (N, 2), or (N, H + G) with qk_norm_scope "head"; with QK-norm only
  Tensor qkv_BTSD;        // as attention read them: normed and rotated
  Tensor lse_BHT;         // stat
  Tensor out_BTHD;
  Tensor kv_BX2GD;  // this layer's tensor of a KeyValueCache, if the pass continues texts; absent otherwise
};

struct MlpSaved {
  Tensor h_NU;  // first product
  Tensor a_NF;
};

struct MoeSaved {
  Routing routing;
  Tensor h_RU, a_RF;      // first product and activation of every routed row
  Tensor rows_RC;         // expert outputs before combine
  Tensor balance_loss_1;  // stat; unscaled
  Tensor entropy_1;       // stat; written by evaluation passes only, as are routing's fill_norms_2
  MlpSaved shared;
};

struct BlockSaved {
  NormSaved norm1, norm2;
  Tensor normed1_NC, mid_NC, normed2_NC;
  AttentionSaved attention;
  MlpSaved mlp;  // of a dense layer
  MoeSaved moe;  // of a MoE layer
};

enum class ActivationMode {
  train,            // every block keeps what its backward needs
  train_recompute,  // blocks share memory, refilled in the backward pass; only the residual stream is kept per layer
  forward_only,     // blocks share memory
};

struct Activations {
  ActivationMode mode;
  RopeTables rope;
  Tensor tokens_BT, targets_BT;   // i32, filled by the caller
  std::vector<Tensor> stream_NC;  // residual stream: before each block, and after the last
  std::vector<BlockSaved> blocks;
  NormSaved final_norm;
  Tensor final_NC;               // after the final norm
  Tensor losses_N;               // stat: cross-entropy per token, nats
  Tensor lse_N, z_loss_1;        // stat: log-sum-exp of the logits and its mean square; with output_z_loss_coef only
  Tensor logits_MV;              // scratch of the LM head
  Tensor dfinal_NC, dstream_NC;  // absent with forward_only
  Tensor router_stats_LW;        // stat, (L, MoeLayer::stats_width(E)); absent if dense

  // From now on, forward passes continue the cache's texts: their tokens are at the positions from `first` on, see all
  // positions before, and are added to the cache. No document may end before the last token. For forward_only.
  void continue_texts(const KeyValueCache& cache, int64_t first) {
    GPTMOE_CHECK(mode == ActivationMode::forward_only && cache.kv_BX2GD.size() == blocks.size());
    rope = cache.rope;
    rope.first = first;
    for (size_t l = 0; l < blocks.size(); ++l) blocks[l].attention.kv_BX2GD = cache.kv_BX2GD[l];
  }
};

}  // namespace gptmoe
