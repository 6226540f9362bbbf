#pragma once
// Op contract, mixture-of-experts family. Conventions and letters: kernels/ops.h.
//
// A micro-batch is routed in four stages (the vocabulary of MegaBlocks): softmax and top-k choose experts, a stable
// sort groups the R = N*K (token, expert) pairs by expert, every expert gathers and multiplies its own rows (grouped
// products), and the rows are combined back into tokens. A *slot* is n*K + k: token n's k-th choice. Sorted row r holds
// slot slots_R[r]; positions_NK is the inverse.
//
// A slot may be dead: its expert id and its position are -1 and no row is its own, so that the live rows are the first
// offsets_E1[E] of the R. Of tensors over sorted rows, slots_R among them, the others are neither read nor written.
#include "kernels/ops_dense.h"  // Write

namespace gptmoe {

// What the sum of an expert's weighted outputs is divided by to give their mean.
enum class Divisor { rows, gates };

class MoeOps {
 public:
  virtual ~MoeOps() = default;

  // ---- Router logits in stat from real tokens: logits = x w^T. w and its gradient are in stat too: a choice between
  // experts must not hang on the rounding of real.
  // logits_NE = (stat).
  virtual void router_linear_forward(const Tensor& logits_NE, const Tensor& x_NC, const Tensor& w_EC) = 0;
  // dx_NC = or +=: dlogits w. dw_EC +=: dlogits^T x (stat).
  virtual void router_linear_backward(const Tensor& dx_NC, const Tensor& dw_EC, const Tensor& dlogits_NE,
                                      const Tensor& x_NC, const Tensor& w_EC, Write write = Write::add) = 0;

  // ---- Router softmax over all E experts; everything in stat.
  // probs_NE =, lse_N = log-sum-exp of the logits.
  virtual void router_softmax_forward(const Tensor& probs_NE, const Tensor& lse_N, const Tensor& logits_NE) = 0;
  // dlogits_NE = probs * (dprobs - <probs, dprobs>); may alias dprobs_NE.
  virtual void router_softmax_backward(const Tensor& dlogits_NE, const Tensor& dprobs_NE, const Tensor& probs_NE) = 0;

  // ---- Top-k: the K largest probabilities, in descending order, ties to the lower expert index. With bias_E (stat)
  // the K largest of probs + bias: it decides who is chosen and in which order, and nothing else.
  // expert_ids_NK =, gates_NK = (stat): the chosen probabilities, divided by their sum when `normalize`.
  virtual void topk_forward(const Tensor& expert_ids_NK, const Tensor& gates_NK, const Tensor& probs_NE, bool normalize,
                            const Tensor& bias_E = {}) = 0;
  // dprobs_NE =: zero but for the chosen.
  virtual void topk_backward(const Tensor& dprobs_NE, const Tensor& dgates_NK, const Tensor& gates_NK,
                             const Tensor& expert_ids_NK, const Tensor& probs_NE, bool normalize) = 0;

  // ---- Dropped choices: for routers that run more experts than they choose.
  // kept_ids_NK = expert_ids in the first `live` columns, -1 in the others; may alias expert_ids_NK. gates_NK = 0 in
  // the other columns, unchanged in the first.
  virtual void drop_choices(const Tensor& kept_ids_NK, const Tensor& gates_NK, const Tensor& expert_ids_NK,
                            int64_t live) = 0;

  // ---- Sigmoid router (arXiv 2408.15664); everything in stat.
  // probs_NE = 1 / (1 + exp(-logits)).
  virtual void sigmoid_router_forward(const Tensor& probs_NE, const Tensor& logits_NE) = 0;
  // dlogits_NE = dprobs * probs * (1 - probs); may alias dprobs_NE.
  virtual void sigmoid_router_backward(const Tensor& dlogits_NE, const Tensor& dprobs_NE, const Tensor& probs_NE) = 0;

  // ---- ReLU router (ReMoE, arXiv 2412.14711); everything in stat.
  // probs_NE = max(0, logits); expert_ids_NE = e where that is not 0, else -1: slot n*E + e is expert e's.
  virtual void relu_router_forward(const Tensor& probs_NE, const Tensor& expert_ids_NE, const Tensor& logits_NE) = 0;
  // dlogits_NE = dprobs where probs is not 0, else 0; may alias dprobs_NE.
  virtual void relu_router_backward(const Tensor& dlogits_NE, const Tensor& dprobs_NE, const Tensor& probs_NE) = 0;
  // excess_1 += live rows - target (stat).
  virtual void excess_accumulate(const Tensor& excess_1, const Tensor& offsets_E1, int64_t target) = 0;
  // coefficient_1 *= factor where excess > 0, /= factor where it is < 0, kept a normal float; then excess_1 = 0 (stat).
  virtual void l1_commit(const Tensor& coefficient_1, const Tensor& excess_1, double factor) = 0;

  // ---- SparseMixer-v2 (GRIN, arXiv 2409.12136); reals in stat. K rounds, each among the experts not yet chosen:
  //   top = the largest logit;  p = softmax of the logits s with top - s <= 2 threshold max(|s|, top), 0 for the
  //   others; the round's expert is drawn by p, and its gate is p, times 1/3 with probability 3/4 where p is not the
  //   largest.
  // Without sampler_2 it is the expert of the largest p instead, ties to the lower index, and the gate is p.
  // sampler_2 (i64) = {key, position}; token n draws by the counter position + first + n, whatever the thread.
  // expert_ids_NK =, gates_NK =, shares_NKE = p of every round, (N, K*E).
  virtual void sparsemixer_forward(const Tensor& expert_ids_NK, const Tensor& gates_NK, const Tensor& shares_NKE,
                                   const Tensor& logits_NE, double threshold, const Tensor& sampler_2 = {},
                                   int64_t first = 0) = 0;
  // dlogits_NE += sum over rounds of dgate * the gradient of p of the round's expert: the source's estimate, in which
  // the 1/3 stands for the point at which a third-order Heun step asks for the gradient and is no factor of it.
  virtual void sparsemixer_backward(const Tensor& dlogits_NE, const Tensor& dgates_NK, const Tensor& expert_ids_NK,
                                    const Tensor& shares_NKE) = 0;
  // position of sampler_2 += by.
  virtual void sampler_advance(const Tensor& sampler_2, int64_t by) = 0;

  // ---- Stable counting sort of slots by expert; dead slots are left out.
  // offsets_E1 = (i64, E+1): expert e owns sorted rows [offsets[e], offsets[e+1]). slots_R =, positions_NK = (i32).
  virtual void sort_by_expert(const Tensor& offsets_E1, const Tensor& slots_R, const Tensor& positions_NK,
                              const Tensor& expert_ids_NK) = 0;

  // ---- Row scatter: y[n] += the sum of token n's live rows, in the order of k.
  // y_NC +=.
  virtual void scatter_rows_add(const Tensor& y_NC, const Tensor& rows_RC, const Tensor& positions_NK) = 0;

  // ---- Grouped linear: rows of expert e meet w[e]. Experts without rows cost nothing.
  // With slots_R, x is x_NI and gathered as it is read: sorted row r is token slots[r] / K, with K = R / N. Without, x
  // is x_RI.
  // y_RO =.
  virtual void grouped_linear_forward(const Tensor& y_RO, const Tensor& x, const Tensor& w_EOI,
                                      const Tensor& offsets_E1, const Tensor& slots_R = {}) = 0;
  // dx_RI =.
  virtual void grouped_linear_backward_input(const Tensor& dx_RI, const Tensor& dy_RO, const Tensor& w_EOI,
                                             const Tensor& offsets_E1) = 0;
  // dw_EOI +=.
  virtual void grouped_linear_backward_weight(const Tensor& dw_EOI, const Tensor& dy_RO, const Tensor& x,
                                              const Tensor& offsets_E1, const Tensor& slots_R = {}) = 0;

  // ---- Grouped linear together with the SwiGLU (ops_dense.h) that follows or precedes it.
  // h_R2F = the grouped linear of x by w, whose rows per expert are [gate (F), up (F)]; a_RF = silu(gate) * up.
  virtual void grouped_swiglu_forward(const Tensor& a_RF, const Tensor& h_R2F, const Tensor& x, const Tensor& w_E2FI,
                                      const Tensor& offsets_E1, const Tensor& slots_R = {}) = 0;
  // dh_R2F = (may alias h_R2F): the gradient of h where y_RO is the grouped linear of swiglu(h) by w.
  virtual void grouped_swiglu_backward(const Tensor& dh_R2F, const Tensor& dy_RO, const Tensor& w_EOF,
                                       const Tensor& h_R2F, const Tensor& offsets_E1) = 0;

  // ---- Combine, TopK: y[n] = sum over live slots of gates[n,k] * rows[positions[n,k]].
  // y_NC =.
  virtual void topk_combine_forward(const Tensor& y_NC, const Tensor& rows_RC, const Tensor& gates_NK,
                                    const Tensor& positions_NK) = 0;
  // drows_RC = gate * dy, dgates_NK = <dy, row>, 0 for dead slots (stat).
  virtual void topk_combine_backward(const Tensor& drows_RC, const Tensor& dgates_NK, const Tensor& dy_NC,
                                     const Tensor& rows_RC, const Tensor& gates_NK, const Tensor& positions_NK) = 0;

  // ---- Combine, Default MoE (arXiv 2504.12463): experts a token did not choose contribute their default vector. Here
  // and below, in all that is about default vectors, no slot is dead.
  //   y[n] = sum_{i in A(n)} probs[n,i] * row_i(n) + sum_{i not in A(n)} probs[n,i] * default[i]
  // y_NC =. default_EC: stat.
  virtual void default_combine_forward(const Tensor& y_NC, const Tensor& rows_RC, const Tensor& probs_NE,
                                       const Tensor& expert_ids_NK, const Tensor& positions_NK,
                                       const Tensor& default_EC) = 0;
  // drows_RC = probs * dy; dprobs_NE = <dy, row_i> for the chosen, <dy, default_i> for the others (stat).
  // No gradient reaches default_EC.
  virtual void default_combine_backward(const Tensor& drows_RC, const Tensor& dprobs_NE, const Tensor& dy_NC,
                                        const Tensor& rows_RC, const Tensor& probs_NE, const Tensor& expert_ids_NK,
                                        const Tensor& positions_NK, const Tensor& default_EC) = 0;

  // ---- Default vectors: the exponential moving average of each expert's mean output.
  // row_scale_R = min(1, clip * m / |rows[r]|), m = lower median of the R row norms (stat).
  virtual void default_clip_scale(const Tensor& row_scale_R, const Tensor& rows_RC, double clip) = 0;
  // sums_EC += the sum over expert e's rows of weight * scale * row (stat). The weight is the row's gate, or 1 when
  // gates_NK is absent; the scale is row_scale_R, or 1 when that is absent.
  // divisors_E += what turns the sum into a mean (stat): the number of rows, or the sum of their gates.
  virtual void default_accumulate(const Tensor& sums_EC, const Tensor& divisors_E, const Tensor& rows_RC,
                                  const Tensor& gates_NK, const Tensor& slots_R, const Tensor& offsets_E1,
                                  const Tensor& row_scale_R, Divisor divisor) = 0;
  // default_EC = beta * default + (1 - beta) * sums / divisors for experts with divisors > 0. The others are unchanged,
  // or beta * default when `decay_unseen`. Then sums_EC = 0 and divisors_E = 0.
  virtual void default_commit(const Tensor& default_EC, const Tensor& sums_EC, const Tensor& divisors_E, double beta,
                              bool decay_unseen) = 0;

  // ---- Load balancing (Switch Transformer, Fedus et al. 2021): E * sum_e f_e P_e, f_e the share of the assignments,
  // P_e = mean_n probs[n,e]. Everything in stat.
  // fractions_E = rows of each expert / `rows`: what this rank adds to f, where all ranks together have so many.
  virtual void expert_fractions(const Tensor& fractions_E, const Tensor& offsets_E1, int64_t rows) = 0;
  // sums_E1 += [fractions_E, 1]; mean_E = sums[e] / sums[E]: the fractions of all micro-batches since sums_E1 was zero.
  virtual void mean_fractions(const Tensor& mean_E, const Tensor& sums_E1, const Tensor& fractions_E) = 0;
  // loss_1 =.
  virtual void load_balance_forward(const Tensor& loss_1, const Tensor& probs_NE, const Tensor& fractions_E) = 0;
  // dprobs_NE += scale * E * f_e / N, times coefficient_1 (stat) where given: the gradient through P only.
  virtual void load_balance_backward(const Tensor& dprobs_NE, const Tensor& fractions_E, double scale,
                                     const Tensor& coefficient_1 = {}) = 0;

  // ---- Loss-free balancing (Wang et al., arXiv 2408.15664): a bias for top-k that follows the experts' loads.
  // loads_E += rows of each expert (stat).
  virtual void load_accumulate(const Tensor& loads_E, const Tensor& offsets_E1) = 0;
  // bias_E += rate * sign(mean of loads - loads[e]), exactly for loads up to 2^24; then loads_E = 0 (stat).
  virtual void bias_commit(const Tensor& bias_E, const Tensor& loads_E, double rate) = 0;

  // ---- Router z-loss (ST-MoE, Zoph et al. 2022): mean_n lse[n]^2.
  // loss_1 =.
  virtual void z_loss_forward(const Tensor& loss_1, const Tensor& lse_N) = 0;
  // dlogits_NE += scale * 2 * lse / N * probs.
  virtual void z_loss_backward(const Tensor& dlogits_NE, const Tensor& probs_NE, const Tensor& lse_N, double scale) = 0;

  // ---- Mean entropy of the router's distributions, in nats: of probs, divided by each token's sum when `normalize`
  // (a token whose sum is 0 has entropy 0). entropy_1 = (stat).
  virtual void router_entropy(const Tensor& entropy_1, const Tensor& probs_NE, bool normalize) = 0;
};

}  // namespace gptmoe
