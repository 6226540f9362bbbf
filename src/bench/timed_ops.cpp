#include "bench/timed_ops.h"

#include <algorithm>
#include <chrono>

namespace gptmoe {
namespace {

std::string shape(std::initializer_list<int64_t> sizes) {
  std::string joined;
  for (int64_t size : sizes) joined += (joined.empty() ? "" : "x") + std::to_string(size);
  return joined;
}

std::string shape(const Tensor& x) {
  std::string joined;
  for (int i = 0; i < x.rank(); ++i) joined += (i > 0 ? "x" : "") + std::to_string(x.size(i));
  return joined;
}

// Of operands; one that is both read and written comes twice.
template <typename... Tensors>
double bytes(const Tensors&... operands) {
  return (static_cast<double>(operands.bytes()) + ...);
}

double added_to(Write write, const Tensor& x) { return write == Write::add ? bytes(x) : 0; }

double reached(const Tensor& table_VC, const Tensor& tokens_N) {
  return bytes(table_VC.rows(0, std::min(tokens_N.count(), table_VC.size(0))));
}

// Of the first heads: those that RoPE turns, or the queries and keys that QK-norm scales.
double heads(const Tensor& qkv_BTSD, int64_t count) {
  return bytes(qkv_BTSD) * static_cast<double>(count) / static_cast<double>(qkv_BTSD.size(2));
}

}  // namespace

const char* part_name(Part part) {
  switch (part) {
    case Part::product: return "matrix products";
    case Part::attention: return "attention";
    case Part::memory: return "memory-bound";
    case Part::optimizer: return "optimizer";
  }
  return "";
}

TimedOps::TimedOps(Ops& ops, double live_share) : ops_(ops), plan_(ops), live_share_(live_share) {
  plan_.expect_live(live_share);
}

template <typename Method, typename... Arguments>
void TimedOps::timed(const Call& call, Method method, const Arguments&... arguments) {
  plan_.reset_flops();
  (plan_.*method)(arguments...);
  ops_.synchronize();
  const auto start = std::chrono::steady_clock::now();
  (ops_.*method)(arguments...);
  ops_.synchronize();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  OpTotal& total = totals_[{call.op, call.shape}];
  total.part = call.part;
  ++total.calls;
  total.seconds += seconds;
  total.flops += plan_.flops();
  total.bytes += call.bytes;
}

template <typename Method, typename... Arguments>
void TimedOps::moves(const char* op, double bytes, Method method, T first, const Arguments&... rest) {
  timed({op, Part::memory, shape(first), bytes}, method, first, rest...);
}

template <typename... Tensors>
double TimedOps::live(const Tensors&... rows) const {
  return live_share_ * bytes(rows...);
}

double TimedOps::source(T x, T slots) const { return slots.present() ? bytes(x) + live(slots) : live(x); }

// ---- Dense family.

void TimedOps::embedding_forward(T out, T table, T tokens) {
  moves(__func__, bytes(out, tokens) + reached(table, tokens), &Ops::embedding_forward, out, table, tokens);
}
void TimedOps::embedding_backward(T dtable, T dout, T tokens) {
  moves(__func__, bytes(dout, tokens) + 2 * reached(dtable, tokens), &Ops::embedding_backward, dtable, dout, tokens);
}
void TimedOps::rmsnorm_forward(T y, T rstd, T x, T w, double eps) {
  moves(__func__, bytes(y, rstd, x, w), &Ops::rmsnorm_forward, y, rstd, x, w, eps);
}
void TimedOps::rmsnorm_backward(T dx, T dw, T dy, T x, T w, T rstd) {
  moves(__func__, bytes(dx, dx, dw, dw, dy, x, w, rstd), &Ops::rmsnorm_backward, dx, dw, dy, x, w, rstd);
}
void TimedOps::layernorm_forward(T y, T mean, T rstd, T x, T w, T b, double eps) {
  moves(__func__, bytes(y, mean, rstd, x, w, b), &Ops::layernorm_forward, y, mean, rstd, x, w, b, eps);
}
void TimedOps::layernorm_backward(T dx, T dw, T db, T dy, T x, T w, T mean, T rstd) {
  moves(__func__, bytes(dx, dx, dw, dw, db, db, dy, x, w, mean, rstd), &Ops::layernorm_backward, dx, dw, db, dy, x, w,
        mean, rstd);
}
void TimedOps::linear_forward(T y, T x, T w, Write write) {
  timed({__func__, Part::product, shape({x.size(0), x.size(1), y.size(1)}), bytes(y, x, w) + added_to(write, y)},
        &Ops::linear_forward, y, x, w, write);
}
void TimedOps::linear_backward_input(T dx, T dy, T w, Write write) {
  timed({__func__, Part::product, shape({dx.size(0), dx.size(1), dy.size(1)}), bytes(dx, dy, w) + added_to(write, dx)},
        &Ops::linear_backward_input, dx, dy, w, write);
}
void TimedOps::linear_backward_weight(T dw, T dy, T x) {
  timed({__func__, Part::product, shape({x.size(0), x.size(1), dy.size(1)}), bytes(dw, dw, dy, x)},
        &Ops::linear_backward_weight, dw, dy, x);
}
void TimedOps::bias_forward(T y, T bias) { moves(__func__, bytes(y, bias), &Ops::bias_forward, y, bias); }
void TimedOps::bias_backward(T dbias, T dy) {
  moves(__func__, bytes(dbias, dbias, dy), &Ops::bias_backward, dbias, dy);
}
void TimedOps::residual_forward(T y, T a, T b) { moves(__func__, bytes(y, a, b), &Ops::residual_forward, y, a, b); }
void TimedOps::qk_norm_forward(T y, T rstd, T qkv, T q_w, T k_w, double eps) {
  moves(__func__, bytes(y, rstd, qkv, q_w, k_w), &Ops::qk_norm_forward, y, rstd, qkv, q_w, k_w, eps);
}
void TimedOps::qk_norm_backward(T dqkv, T dq_w, T dk_w, T dy, T qkv, T q_w, T k_w, T rstd) {
  const int64_t scaled = (q_w.count() + k_w.count()) / qkv.size(3);
  const double gradients = dqkv.data() == dy.data() ? 2 * heads(dqkv, scaled) : bytes(dqkv, dy);
  moves(__func__, gradients + heads(qkv, scaled) + bytes(dq_w, dq_w, dk_w, dk_w, q_w, k_w, rstd),
        &Ops::qk_norm_backward, dqkv, dq_w, dk_w, dy, qkv, q_w, k_w, rstd);
}
void TimedOps::rope_tables(T cos, T sin, double theta) {
  moves(__func__, bytes(cos, sin), &Ops::rope_tables, cos, sin, theta);
}
void TimedOps::rope_forward(T qkv, T cos, T sin, int64_t rotated) {
  moves(__func__, 2 * heads(qkv, rotated) + bytes(cos, sin), &Ops::rope_forward, qkv, cos, sin, rotated);
}
void TimedOps::rope_backward(T dqkv, T cos, T sin, int64_t rotated) {
  moves(__func__, 2 * heads(dqkv, rotated) + bytes(cos, sin), &Ops::rope_backward, dqkv, cos, sin, rotated);
}
void TimedOps::attention_forward(T out, T lse, T qkv) {
  timed({__func__, Part::attention, shape(out), bytes(out, lse, qkv)}, &Ops::attention_forward, out, lse, qkv);
}
void TimedOps::attention_backward(T dqkv, T dout, T out, T lse, T qkv) {
  timed({__func__, Part::attention, shape(out), bytes(dqkv, dout, out, lse, qkv)}, &Ops::attention_backward, dqkv, dout,
        out, lse, qkv);
}
void TimedOps::swiglu_forward(T a, T h) { moves(__func__, bytes(a, h), &Ops::swiglu_forward, a, h); }
void TimedOps::swiglu_backward(T dh, T da, T h) { moves(__func__, bytes(dh, da, h), &Ops::swiglu_backward, dh, da, h); }
void TimedOps::gelu_forward(T a, T h) { moves(__func__, bytes(a, h), &Ops::gelu_forward, a, h); }
void TimedOps::gelu_backward(T dh, T da, T h) { moves(__func__, bytes(dh, da, h), &Ops::gelu_backward, dh, da, h); }
void TimedOps::lm_head_loss(T losses, T dx, T dw, T x, T w, T targets, double scale, T logits) {
  timed({__func__, Part::product, shape({x.size(0), x.size(1), w.size(0)}), bytes(losses, dx, dw, dw, x, w, targets)},
        &Ops::lm_head_loss, losses, dx, dw, x, w, targets, scale, logits);
}

// ---- Mixture-of-experts family.

void TimedOps::router_linear_forward(T logits, T x, T w) {
  timed({__func__, Part::product, shape({x.size(0), x.size(1), w.size(0)}), bytes(logits, x, w)},
        &Ops::router_linear_forward, logits, x, w);
}
void TimedOps::router_linear_backward(T dx, T dw, T dlogits, T x, T w, Write write) {
  timed({__func__, Part::product, shape({x.size(0), x.size(1), w.size(0)}),
         bytes(dx, dw, dw, dlogits, x, w) + added_to(write, dx)},
        &Ops::router_linear_backward, dx, dw, dlogits, x, w, write);
}
void TimedOps::router_softmax_forward(T probs, T lse, T logits) {
  moves(__func__, bytes(probs, lse, logits), &Ops::router_softmax_forward, probs, lse, logits);
}
void TimedOps::router_softmax_backward(T dlogits, T dprobs, T probs) {
  moves(__func__, bytes(dlogits, dprobs, probs), &Ops::router_softmax_backward, dlogits, dprobs, probs);
}
void TimedOps::topk_forward(T ids, T gates, T probs, bool normalize, T bias) {
  moves(__func__, bytes(ids, gates, probs, bias), &Ops::topk_forward, ids, gates, probs, normalize, bias);
}
void TimedOps::topk_backward(T dprobs, T dgates, T gates, T ids, T probs, bool normalize) {
  const double of_sums = normalize ? bytes(gates) * 2 : 0;  // the gates, and as many probabilities
  moves(__func__, bytes(dprobs, dgates, ids) + of_sums, &Ops::topk_backward, dprobs, dgates, gates, ids, probs,
        normalize);
}
void TimedOps::drop_choices(T kept, T gates, T ids, int64_t live) {
  moves(__func__, bytes(kept, gates, ids), &Ops::drop_choices, kept, gates, ids, live);
}
void TimedOps::sigmoid_router_forward(T probs, T logits) {
  moves(__func__, bytes(probs, logits), &Ops::sigmoid_router_forward, probs, logits);
}
void TimedOps::sigmoid_router_backward(T dlogits, T dprobs, T probs) {
  moves(__func__, bytes(dlogits, dprobs, probs), &Ops::sigmoid_router_backward, dlogits, dprobs, probs);
}
void TimedOps::mean_fractions(T mean, T sums, T fractions) {
  moves(__func__, bytes(mean, sums, sums, fractions), &Ops::mean_fractions, mean, sums, fractions);
}
void TimedOps::relu_router_forward(T probs, T ids, T logits) {
  moves(__func__, bytes(probs, ids, logits), &Ops::relu_router_forward, probs, ids, logits);
}
void TimedOps::relu_router_backward(T dlogits, T dprobs, T probs) {
  moves(__func__, bytes(dlogits, dprobs, probs), &Ops::relu_router_backward, dlogits, dprobs, probs);
}
void TimedOps::excess_accumulate(T excess, T offsets, int64_t target) {
  moves(__func__, bytes(excess, excess, offsets), &Ops::excess_accumulate, excess, offsets, target);
}
void TimedOps::l1_commit(T coefficient, T excess, double factor) {
  moves(__func__, 2 * bytes(coefficient, excess), &Ops::l1_commit, coefficient, excess, factor);
}
void TimedOps::sparsemixer_forward(T ids, T gates, T shares, T logits, double threshold, T sampler, int64_t first) {
  moves(__func__, bytes(ids, gates, shares, logits, sampler), &Ops::sparsemixer_forward, ids, gates, shares, logits,
        threshold, sampler, first);
}
void TimedOps::sparsemixer_backward(T dlogits, T dgates, T ids, T shares) {
  moves(__func__, bytes(dlogits, dlogits, dgates, ids, shares), &Ops::sparsemixer_backward, dlogits, dgates, ids,
        shares);
}
void TimedOps::sampler_advance(T sampler, int64_t by) {
  moves(__func__, 2 * bytes(sampler), &Ops::sampler_advance, sampler, by);
}
void TimedOps::sort_by_expert(T offsets, T slots, T positions, T ids) {
  timed({__func__, Part::memory, shape(ids), bytes(offsets, positions, ids) + live(slots)}, &Ops::sort_by_expert,
        offsets, slots, positions, ids);
}
void TimedOps::scatter_rows_add(T y, T rows, T positions) {
  moves(__func__, bytes(y, y, positions) + live(rows), &Ops::scatter_rows_add, y, rows, positions);
}
void TimedOps::grouped_linear_forward(T y, T x, T w, T offsets, T slots) {
  timed({__func__, Part::product, shape({y.size(0), x.size(1), y.size(1), w.size(0)}),
         bytes(w, offsets) + live(y) + source(x, slots)},
        &Ops::grouped_linear_forward, y, x, w, offsets, slots);
}
void TimedOps::grouped_linear_backward_input(T dx, T dy, T w, T offsets) {
  timed({__func__, Part::product, shape({dx.size(0), dx.size(1), dy.size(1), w.size(0)}),
         bytes(w, offsets) + live(dx, dy)},
        &Ops::grouped_linear_backward_input, dx, dy, w, offsets);
}
void TimedOps::grouped_linear_backward_weight(T dw, T dy, T x, T offsets, T slots) {
  timed({__func__, Part::product, shape({dy.size(0), x.size(1), dy.size(1), dw.size(0)}),
         bytes(dw, dw, offsets) + live(dy) + source(x, slots)},
        &Ops::grouped_linear_backward_weight, dw, dy, x, offsets, slots);
}
void TimedOps::grouped_swiglu_forward(T a, T h, T x, T w, T offsets, T slots) {
  timed({__func__, Part::product, shape({h.size(0), x.size(1), h.size(1), w.size(0)}),
         bytes(w, offsets) + live(a, h) + source(x, slots)},
        &Ops::grouped_swiglu_forward, a, h, x, w, offsets, slots);
}
void TimedOps::grouped_swiglu_backward(T dh, T dy, T w, T h, T offsets) {
  timed({__func__, Part::product, shape({dy.size(0), w.size(2), dy.size(1), w.size(0)}),
         bytes(w, offsets) + live(dh, dy, h)},
        &Ops::grouped_swiglu_backward, dh, dy, w, h, offsets);
}
void TimedOps::topk_combine_forward(T y, T rows, T gates, T positions) {
  moves(__func__, bytes(y, gates, positions) + live(rows), &Ops::topk_combine_forward, y, rows, gates, positions);
}
void TimedOps::topk_combine_backward(T drows, T dgates, T dy, T rows, T gates, T positions) {
  moves(__func__, bytes(dgates, dy, gates, positions) + live(drows, rows), &Ops::topk_combine_backward, drows, dgates,
        dy, rows, gates, positions);
}
void TimedOps::default_combine_forward(T y, T rows, T probs, T ids, T positions, T vectors) {
  moves(__func__, bytes(y, rows, probs, ids, positions, vectors), &Ops::default_combine_forward, y, rows, probs, ids,
        positions, vectors);
}
void TimedOps::default_combine_backward(T drows, T dprobs, T dy, T rows, T probs, T ids, T positions, T vectors) {
  moves(__func__, bytes(drows, dprobs, dy, rows, probs, ids, positions, vectors), &Ops::default_combine_backward, drows,
        dprobs, dy, rows, probs, ids, positions, vectors);
}
void TimedOps::default_clip_scale(T scale, T rows, double clip) {
  moves(__func__, bytes(scale, rows), &Ops::default_clip_scale, scale, rows, clip);
}
void TimedOps::default_accumulate(T sums, T divisors, T rows, T gates, T slots, T offsets, T scale, Divisor divisor) {
  timed(
      {__func__, Part::memory, shape(rows), bytes(sums, sums, divisors, divisors, rows, gates, slots, offsets, scale)},
      &Ops::default_accumulate, sums, divisors, rows, gates, slots, offsets, scale, divisor);
}
void TimedOps::default_commit(T vectors, T sums, T divisors, double beta, bool decay_unseen) {
  moves(__func__, 2 * bytes(vectors, sums, divisors), &Ops::default_commit, vectors, sums, divisors, beta,
        decay_unseen);
}
void TimedOps::expert_fractions(T fractions, T offsets, int64_t rows) {
  moves(__func__, bytes(fractions, offsets), &Ops::expert_fractions, fractions, offsets, rows);
}
void TimedOps::load_balance_forward(T loss, T probs, T fractions) {
  timed({__func__, Part::memory, shape(probs), bytes(loss, probs, fractions)}, &Ops::load_balance_forward, loss, probs,
        fractions);
}
void TimedOps::load_balance_backward(T dprobs, T fractions, double scale, T coefficient) {
  moves(__func__, bytes(dprobs, dprobs, fractions, coefficient), &Ops::load_balance_backward, dprobs, fractions, scale,
        coefficient);
}
void TimedOps::load_accumulate(T loads, T offsets) {
  moves(__func__, bytes(loads, loads, offsets), &Ops::load_accumulate, loads, offsets);
}
void TimedOps::bias_commit(T bias, T loads, double rate) {
  moves(__func__, 2 * bytes(bias, loads), &Ops::bias_commit, bias, loads, rate);
}
void TimedOps::z_loss_forward(T loss, T lse) { moves(__func__, bytes(loss, lse), &Ops::z_loss_forward, loss, lse); }
void TimedOps::z_loss_backward(T dlogits, T probs, T lse, double scale) {
  moves(__func__, bytes(dlogits, dlogits, probs, lse), &Ops::z_loss_backward, dlogits, probs, lse, scale);
}
void TimedOps::router_entropy(T entropy, T probs, bool normalize) {
  moves(__func__, bytes(entropy, probs), &Ops::router_entropy, entropy, probs, normalize);
}

// ---- Optimizer family.

void TimedOps::zero(T x) { moves(__func__, bytes(x), &Ops::zero, x); }
void TimedOps::copy(T out, T x) { moves(__func__, bytes(out, x), &Ops::copy, out, x); }
void TimedOps::cast(T out, T x) { moves(__func__, bytes(out, x), &Ops::cast, out, x); }
void TimedOps::accumulate_sum(T sum, T x) {
  timed({__func__, Part::memory, shape(x), bytes(sum, sum, x)}, &Ops::accumulate_sum, sum, x);
}
void TimedOps::squared_norm(T sum, T x) {
  timed({__func__, Part::optimizer, shape(x), bytes(sum, x)}, &Ops::squared_norm, sum, x);
}
void TimedOps::clip_scale(T scale, T squared_norm, T loss, double max_norm) {
  timed({__func__, Part::optimizer, shape(scale), bytes(scale, squared_norm, loss)}, &Ops::clip_scale, scale,
        squared_norm, loss, max_norm);
}
void TimedOps::adamw(T param, T master, T m, T v, T grad, T scale, T rates, const AdamwConstants& constants) {
  const double moved =
      bytes(param, m, m, v, v, grad, scale, rates) + (master.present() ? bytes(master, master) : bytes(param));
  timed({__func__, Part::optimizer, shape(param), moved}, &Ops::adamw, param, master, m, v, grad, scale, rates,
        constants);
}

}  // namespace gptmoe
