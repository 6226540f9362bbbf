#include <algorithm>
#include <bit>

#include "kernels/block_code.h"
#include "kernels/op_call.h"

namespace gptmoe {
namespace {

double share(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

// An embedding reads at most one of the table's V rows per token.
void reach_tokens_rows(OpCall& call, std::string_view table) {
  call.reaches(table, share(std::min(call.size('N'), call.size('V')), call.size('V')));
}

void qk_norm(OpCall& call) {
  const int64_t D = call.size('D'), Q = call.size('Q'), J = call.size('J');
  call.require(Q % D == 0 && J % D == 0 && Q + 2 * J == call.size('S') * D, "whole heads, S * D = Q + 2 J");
  call.bind('N', call.size('B') * call.size('T'));
}

void head_norm(OpCall& call) {
  const int64_t G = call.size('S') - call.size('W'), H = call.size('W') - G;
  call.require(G >= 1 && H >= 1 && H % G == 0, "S = H + 2 G and W = H + G with H a multiple of G");
  call.bind('N', call.size('B') * call.size('T'));
}

// `scaled` is the share of the elements that are queries or keys.
void norm_backward(OpCall& call, double scaled) {
  call.may_alias("dqkv", "dy");
  // If dqkv aliases dy, the gradients of the values stay in place.
  call.reaches("qkv", scaled);
  if (call.tensor("dqkv").data() != call.tensor("dy").data()) return;
  call.reaches("dqkv", scaled);
  call.reaches("dy", scaled);
}

void qk_norm_backward(OpCall& call) {
  qk_norm(call);
  norm_backward(call, share(call.size('Q') + call.size('J'), call.size('S') * call.size('D')));
}

void head_norm_backward(OpCall& call) {
  head_norm(call);
  norm_backward(call, share(call.size('W'), call.size('S')));
}

void rope(OpCall& call, std::string_view rotated) {
  const auto heads = static_cast<int64_t>(call.value("rotated"));
  call.require(call.size('D') == 2 * call.size('P'), "D = 2 P");
  call.require(call.size('T') <= call.size('X'), "T <= X");
  call.require(heads >= 0 && heads <= call.size('S'), "rotated <= S");
  call.reaches(rotated, share(heads, call.size('S')));
}

void attention(OpCall& call, int products, int64_t first = 0) {
  const int64_t H = call.size('H'), G = (call.size('S') - H) / 2;
  call.require(G >= 1 && H + 2 * G == call.size('S') && H % G == 0, "S = H + 2 G with H a multiple of G");
  call.attention(products, first);
}

void lm_head(OpCall& call) {
  const bool backward = call.tensor("dx").present();
  call.require(call.tensor("dw").present() == backward, "both of dx and dw, or neither");
  call.require(call.size('M') >= 1, "M >= 1");
  call.require(call.value("z_loss") >= 0 && call.value("cap") >= 0, "z_loss >= 0 and cap >= 0");
  call.product('N', 'C', 'V', backward ? 3 : 1);
}

void choose(OpCall& call) { call.require(call.size('K') >= 1 && call.size('K') <= call.size('E'), "1 <= K <= E"); }

// With slots, x holds the tokens' rows; without slots, the sorted rows.
void grouped_source(OpCall& call) {
  const Tensor& x = call.tensor("x");
  call.require(x.rank() == 2, "x of rank 2");
  call.bind('I', x.size(1));
  if (call.tensor("slots").present()) {
    call.require(x.size(0) >= 1 && call.size('R') >= x.size(0) && call.size('R') % x.size(0) == 0,
                 "R a positive multiple of N");
  } else {
    call.bind('R', x.size(0));
    call.over_sorted_rows("x");
  }
}

void same_count(OpCall& call, std::initializer_list<std::string_view> names) {
  for (std::string_view name : names)
    call.require(!call.tensor(name).present() || call.tensor(name).count() == call.tensor(*names.begin()).count(),
                 "equal element counts");
}

void adamw(OpCall& call) {
  same_count(call, {"param", "master", "m", "v", "grad"});
  const bool has_master = call.tensor("master").present();
  call.require(has_master || call.is_stat("param"), "a master, or param in stat");
  if (!has_master) call.also_reads("param");
  call.optimizer();
}

void muon_update(OpCall& call) {
  same_count(call, {"param", "master", "update"});
  const bool has_master = call.tensor("master").present();
  call.require(has_master || call.is_stat("param"), "a master, or param in stat");
  if (!has_master) call.also_reads("param");
  call.optimizer();
}

void weighted_sum(OpCall& call) {
  same_count(call, {"y", "a", "b"});
  call.may_alias("y", call.tensor("y").data() == call.tensor("a").data() ? "a" : "b");
  call.optimizer();
}

void blocks(OpCall& call) {
  same_count(call, {"codes", "x"});
  call.require(call.tensor("scales").count() == blocks_of(call.tensor("codes").count()), "a scale for each block");
  call.optimizer();
}

// The cache holds `first` positions before the call's T.
void cache(OpCall& call) {
  const int64_t first = static_cast<int64_t>(call.value("first"));
  call.require(first >= 0 && first + call.size('T') <= call.size('X'), "first >= 0 and first + T <= X");
}

void cache_keys_values(OpCall& call) {
  cache(call);
  const int64_t heads = 2 * call.size('G');
  call.require(heads < call.size('S'), "2 G < S");
  call.reaches("qkv", share(heads, call.size('S')));
  call.reaches("kv", share(call.size('T'), 2 * call.size('X')));  // written, and not read
}

void cached_attention(OpCall& call) {
  cache(call);
  const auto first = static_cast<int64_t>(call.value("first"));
  call.require(call.size('G') >= 1, "G >= 1");
  attention(call, 2, first);
  call.require(call.size('H') + 2 * call.size('G') == call.size('S'), "S = H + 2 G");
  call.reaches("qkv", share(call.size('H'), call.size('S')));
  call.reaches("kv", share(first + call.size('T'), call.size('X')));
}

}  // namespace

void apply_rule(OpId op, OpCall& call) {
  switch (op) {
    case OpId::embedding_forward: return reach_tokens_rows(call, "table");
    case OpId::embedding_backward: return reach_tokens_rows(call, "dtable");
    case OpId::linear_forward:
    case OpId::linear_bias_forward:
    case OpId::linear_backward_input:
    case OpId::linear_backward_weight: return call.product('N', 'I', 'O');
    case OpId::residual_forward:
      same_count(call, {"y", "a", "b"});
      for (const char* term : {"a", "b"}) call.require(call.is_stat(term) == call.is_stat("y"), "one type");
      return call.may_alias("y", call.tensor("y").data() == call.tensor("a").data() ? "a" : "b");
    case OpId::qk_norm_forward: return qk_norm(call);
    case OpId::qk_norm_backward: return qk_norm_backward(call);
    case OpId::head_norm_forward: return head_norm(call);
    case OpId::head_norm_backward: return head_norm_backward(call);
    case OpId::rope_forward: return rope(call, "qkv");
    case OpId::rope_backward: return rope(call, "dqkv");
    case OpId::attention_forward: return attention(call, 2);
    case OpId::attention_backward: return attention(call, 4);  // dV, dP, dQ, dK; recomputed scores do not count
    case OpId::cache_keys_values: return cache_keys_values(call);
    case OpId::cached_attention: return cached_attention(call);
    case OpId::swiglu_backward:
    case OpId::gelu_backward: return call.may_alias("dh", "h");
    case OpId::lm_head_loss: return lm_head(call);

    case OpId::router_linear_forward: return call.product('N', 'C', 'E');
    case OpId::router_linear_backward: return call.product('N', 'C', 'E', 2);
    case OpId::router_softmax_backward:
    case OpId::sigmoid_router_backward:
    case OpId::relu_router_backward: return call.may_alias("dlogits", "dprobs");
    case OpId::topk_forward: return choose(call);
    case OpId::logit_counts:
      return call.require(call.size('W') >= 32 && std::has_single_bit(static_cast<uint64_t>(call.size('W'))),
                          "W a power of two, at least 32");
    case OpId::count_cutoffs:
      return call.require(call.value("share") > 0 && call.value("share") <= 1, "0 < share <= 1");
    case OpId::threshold_commit: return call.require(call.value("decay") < 1, "decay < 1");
    case OpId::softcap: return call.require(call.value("cap") > 0, "cap > 0");
    case OpId::topk_backward:
      // gates, and one probability for each gate, are read only to normalise.
      call.reaches("gates", call.value("normalize"));
      call.reaches("probs", call.value("normalize") * share(call.size('K'), call.size('E')));
      return;
    case OpId::drop_choices:
      call.require(call.value("live") >= 0 && call.value("live") <= static_cast<double>(call.size('K')), "live <= K");
      return call.may_alias("kept_ids", "expert_ids");
    case OpId::sparsemixer_forward: choose(call); return call.bind('W', call.size('K') * call.size('E'));
    case OpId::sparsemixer_backward: return call.bind('W', call.size('K') * call.size('E'));
    case OpId::sort_by_expert: return call.require(call.size('E') >= 1, "E >= 1");
    case OpId::grouped_linear_forward:
    case OpId::grouped_linear_backward_weight: grouped_source(call); return call.product('R', 'I', 'O');
    case OpId::grouped_linear_backward_input: return call.product('R', 'I', 'O');
    case OpId::grouped_swiglu_forward: grouped_source(call); return call.product('R', 'I', 'F', 1, 2);
    case OpId::grouped_swiglu_backward: call.may_alias("dh", "h"); return call.product('R', 'F', 'O');
    case OpId::default_clip_scale: return call.require(call.size('R') >= 1, "R >= 1");
    case OpId::default_accumulate:
      call.require(call.tensor("gates").present() || call.value("divisor") == 0, "gates to divide by");
      return;

    case OpId::copy:
      call.require(call.tensor("out").dtype() == call.tensor("x").dtype(), "one type");
      return same_count(call, {"out", "x"});
    case OpId::cast:
      call.require(call.is_stat("out") ? call.tensor("x").dtype() == DType::bf16
                                       : call.is_stat("x") && call.tensor("out").dtype() == DType::bf16,
                   "between stat and bf16");
      return same_count(call, {"out", "x"});
    case OpId::round_randomly:
      call.require(call.tensor("out").dtype() == DType::bf16, "out in bf16");
      call.require(call.value("first") >= 0 && call.value("stream") >= 0, "first >= 0 and stream >= 0");
      call.optimizer();
      return same_count(call, {"out", "x"});
    case OpId::encode_blocks:
      call.require(call.value("first") >= 0 && call.value("stream") >= 0, "first >= 0 and stream >= 0");
      return blocks(call);
    case OpId::decode_blocks: return blocks(call);
    case OpId::squared_norm:
    case OpId::clip_scale: return call.optimizer();
    case OpId::adamw: return adamw(call);
    case OpId::muon_momentum: same_count(call, {"u", "m", "grad"}); return call.optimizer();
    case OpId::matrix_normalize: call.may_alias("x", "u"); return call.optimizer();
    case OpId::weighted_sum: return weighted_sum(call);
    case OpId::muon_update: return muon_update(call);
    case OpId::moving_average: call.optimizer(); return same_count(call, {"average", "x"});
    default: return;
  }
}

}  // namespace gptmoe
