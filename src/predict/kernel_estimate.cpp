#include "predict/kernel_estimate.h"

#include <bit>
#include <cmath>

#include "predict/kernel_list.h"

namespace gptmoe {
namespace {

constexpr double kRowsPerBlock = 4;  // the minimum in backward passes that sum over rows

// A backward pass over rows of `width` elements. It also computes the gradients of `sums` parameters of that width,
// which are sums over the rows.
void rows_backward(KernelList& list, const char* name, double width, int sums) {
  const double rows = list.partial_rows(list.size('N'), kRowsPerBlock);
  list.stream(name, list.bytes() + sizeof(float) * sums * width * rows);
  list.column_sums(sums * width, rows);
}

void qk_norm(KernelList& list, bool backward) {
  const double Q = list.size('Q'), J = list.size('J'), all = Q + 2 * J, rows = list.partial_rows(list.size('N'), 4);
  const double bytes = list.bytes();
  for (double width : {Q, J}) {
    list.stream(backward ? "rmsnorm_backward" : "rmsnorm_forward", bytes * width / (Q + J + (backward ? 0 : J)));
    if (backward) list.column_sums(width, rows);
  }
  const bool in_place = backward && list.call().tensor("dqkv").data() == list.call().tensor("dy").data();
  if (!in_place) list.stream("copy_rows", bytes * J / all);
}

void head_norm(KernelList& list, bool backward) {
  const double W = list.size('W'), G = list.size('S') - W, all = W + G, bytes = list.bytes();
  for (double heads : {W - G, G}) {
    list.stream(backward ? "rmsnorm_backward" : "rmsnorm_forward", bytes * heads / (backward ? W : all));
    if (backward) list.column_sums(list.size('D'), heads * list.partial_rows(list.size('N'), 4));
  }
  const bool in_place = backward && list.call().tensor("dqkv").data() == list.call().tensor("dy").data();
  if (!in_place) list.stream("copy_rows", bytes * G / all);
}

// A sort by radix with digits of 9 bits, then sums of runs of equal tokens. Every block of a pass reads the counts of
// 64 tiles.
void embedding_backward(KernelList& list) {
  const int bits = std::bit_width(static_cast<uint64_t>(list.call().size('V') - 1));
  for (int pass = 0; pass < std::max(1, (bits + 8) / 9); ++pass)
    list.chain("count_digits", 2), list.chain("scatter", 20);
  list.gather("sum_runs");
  list.chain("join_runs", 4);
}

// Each warp counts a run of slots; one block scans the counts; each warp places its slots.
void sort_by_expert(KernelList& list) {
  const double slots_per_run = std::ceil(list.size('R') / (512 * 32)) * 32,
               runs = std::ceil(list.size('R') / slots_per_run);
  list.chain("count", slots_per_run / 32);
  list.chain("scan_counts", std::ceil(list.size('E') / 32) * std::ceil(runs / 128));
  list.chain("place", 2 * slots_per_run / 32);
}

void default_combine(KernelList& list, const char* name) {
  list.vector(name, 2 * list.size('N') * list.size('E') * list.size('C'), list.bytes());
}

void default_clip_scale(KernelList& list) {
  list.gather("norms");
  list.chain("median", 3 * list.size('R') / (1024 * 4));  // three passes of one block
  list.chain("clip", 1);
}

void default_accumulate(KernelList& list) {
  const double tiles = list.size('R') / 64, partials = sizeof(float) * tiles * list.size('C');
  list.gather("sum_tiles", list.bytes_of("rows") + partials);
  list.chain("add_tiles", tiles / list.size('E') / 4, partials);
}

void zero(KernelList& list) {
  const double memsets = std::ceil(list.bytes() / cuda::kMemsetBytes);
  list.stream("memset", list.bytes(), static_cast<int64_t>(std::max(1.0, memsets)));
}

// Sums all elements in two stages.
void whole_sum(KernelList& list) {
  list.stream("partial_sums");
  list.finish_sum();
}

// Ops that move memory. There is no default case, so the compiler refuses an op that is missing here.
void add_memory_kernels(KernelList& list) {
  switch (list.call().op()) {
    case OpId::embedding_forward: return list.gather("forward");
    case OpId::embedding_backward: return embedding_backward(list);
    case OpId::rmsnorm_forward:
    case OpId::layernorm_forward: return list.stream("forward");
    case OpId::rmsnorm_backward: return rows_backward(list, "backward", list.size('C'), 1);
    case OpId::layernorm_backward: return rows_backward(list, "backward", list.size('C'), 2);
    case OpId::bias_backward: return rows_backward(list, "backward", list.size('O'), 1);
    case OpId::residual_forward: return list.stream("residual");
    case OpId::qk_norm_forward: return qk_norm(list, false);
    case OpId::qk_norm_backward: return qk_norm(list, true);
    case OpId::head_norm_forward: return head_norm(list, false);
    case OpId::head_norm_backward: return head_norm(list, true);
    case OpId::document_starts: return list.chain("document_starts", std::ceil(list.size('T') / 32));
    case OpId::rope_tables: return list.chain("rope_tables", 4);
    case OpId::rope_forward:
    case OpId::rope_backward: return list.stream("rotate");
    case OpId::cache_keys_values: return list.stream("cache");
    case OpId::cached_attention: return list.vector("cached", list.flops(), list.bytes());
    case OpId::swiglu_forward:
    case OpId::gelu_forward: return list.stream("forward");
    case OpId::swiglu_backward:
    case OpId::gelu_backward: return list.stream("backward");

    // A token's probabilities are a short row.
    case OpId::router_softmax_forward:
    case OpId::sigmoid_router_forward:
    case OpId::relu_router_forward:
    case OpId::threshold_router_forward: return list.gather("forward");
    case OpId::logit_counts: return list.chain("count", list.size('N') / 1024);
    case OpId::count_cutoffs: return list.chain("cutoffs", list.size('W') / 32);
    case OpId::router_softmax_backward:
    case OpId::topk_backward:
    case OpId::sigmoid_router_backward:
    case OpId::relu_router_backward: return list.gather("backward");
    case OpId::topk_forward:
    case OpId::sparsemixer_forward: return list.chain("forward", list.size('K'), list.bytes());
    case OpId::sparsemixer_backward: return list.chain("backward", list.size('K'), list.bytes());
    case OpId::drop_choices: return list.gather("drop_choices");
    case OpId::pick_thresholds:
    case OpId::threshold_commit:
    case OpId::excess_accumulate:
    case OpId::l1_commit:
    case OpId::sampler_advance:
    case OpId::expert_fractions:
    case OpId::mean_fractions:
    case OpId::load_accumulate: return list.chain("one_block", 1);
    case OpId::bias_commit: return list.chain("one_block", list.size('E') / 4);
    case OpId::clip_scale: return list.chain("one_thread", 1);
    case OpId::sort_by_expert: return sort_by_expert(list);
    case OpId::scatter_rows_add: return list.gather("scatter");
    case OpId::topk_combine_forward: return list.gather("forward");
    case OpId::topk_combine_backward: return list.gather("backward");
    case OpId::default_combine_forward: return default_combine(list, "forward");
    case OpId::default_combine_backward: return default_combine(list, "backward");
    case OpId::default_clip_scale: return default_clip_scale(list);
    case OpId::default_accumulate: return default_accumulate(list);
    case OpId::default_commit: return list.chain("commit", std::ceil(list.size('C') / 256));
    case OpId::load_balance_forward:
    case OpId::z_loss_forward:
    case OpId::router_entropy: return whole_sum(list);
    case OpId::load_balance_backward:
    case OpId::z_loss_backward: return list.stream("backward");

    case OpId::zero: return zero(list);
    case OpId::softcap: return list.stream("softcap");
    case OpId::copy: return list.stream("memcpy");
    case OpId::cast: return list.stream("cast");
    case OpId::round_randomly: return list.stream("round_randomly");
    case OpId::encode_blocks: return list.stream("encode");
    case OpId::decode_blocks: return list.stream("decode");
    case OpId::accumulate_sum:
    case OpId::squared_norm: return whole_sum(list);
    case OpId::adamw: return list.stream("adamw");
    case OpId::moving_average: return list.stream("moving_average");
    case OpId::muon_momentum: return list.stream("momentum");
    case OpId::matrix_normalize:  // x is read a second time
      list.stream("partial_norms", list.bytes() / 2);
      return list.stream("normalize");
    case OpId::weighted_sum: return list.stream("weighted_sum");
    case OpId::muon_update: return list.stream("muon_update");

    case OpId::linear_forward:
    case OpId::linear_bias_forward:
    case OpId::linear_backward_input:
    case OpId::linear_backward_weight:
    case OpId::attention_forward:
    case OpId::attention_backward:
    case OpId::lm_head_loss:
    case OpId::router_linear_forward:
    case OpId::router_linear_backward:
    case OpId::grouped_linear_forward:
    case OpId::grouped_linear_backward_input:
    case OpId::grouped_linear_backward_weight:
    case OpId::grouped_swiglu_forward:
    case OpId::grouped_swiglu_backward:
    case OpId::count: break;
  }
  GPTMOE_CHECK(false, list.call().name());
}

}  // namespace

std::vector<KernelEstimate> kernels_of(const OpCall& call, const Gpu& gpu, double live_share) {
  KernelList list(call, gpu, live_share);
  if (!add_product_kernels(list)) add_memory_kernels(list);
  return list.take();
}

}  // namespace gptmoe
