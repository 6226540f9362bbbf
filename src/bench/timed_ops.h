#pragma once
// Ops that pass every call on to other Ops and account for it: how long it took, its floating-point operations as
// PlanOps counts them, and the bytes that it cannot do without: each operand once, twice where it is read and written,
// of tables only the rows that are reached, of scratch none. On a device each call is between two waits and recorded
// work is not replayed, so the sum of all calls takes longer than the step that they make.
#include <map>
#include <string>
#include <utility>

#include "kernels/plan_ops.h"

namespace gptmoe {

enum class Part { product, attention, memory, optimizer };
constexpr int kParts = 4;
const char* part_name(Part part);

// Calls of one op at one shape, together.
struct OpTotal {
  Part part = Part::memory;
  int64_t calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
};
// By the op's name and shape: of its products N x I x O, and x E where there are experts; else its main tensor's.
using OpTotals = std::map<std::pair<std::string, std::string>, OpTotal>;

class TimedOps final : public Ops {
 public:
  // `ops` must outlive the object. live_share: of the routed rows those that are meant to be live (Gpt::live_share()).
  TimedOps(Ops& ops, double live_share);

  // What was called since the last time.
  OpTotals take_totals() { return std::exchange(totals_, {}); }

  DType compute_dtype() const override { return ops_.compute_dtype(); }
  DType statistics_dtype() const override { return ops_.statistics_dtype(); }
  Memory& memory() override { return ops_.memory(); }
  void synchronize() override { ops_.synchronize(); }
  int64_t logit_elements() const override { return ops_.logit_elements(); }
  int64_t workspace_bytes() const override { return ops_.workspace_bytes(); }
  std::string describe() const override { return ops_.describe(); }

  using T = const Tensor&;
  void embedding_forward(T, T, T) override;
  void embedding_backward(T, T, T) override;
  void rmsnorm_forward(T, T, T, T, double) override;
  void rmsnorm_backward(T, T, T, T, T, T) override;
  void layernorm_forward(T, T, T, T, T, T, double) override;
  void layernorm_backward(T, T, T, T, T, T, T, T) override;
  void linear_forward(T, T, T, Write) override;
  void linear_backward_input(T, T, T, Write) override;
  void linear_backward_weight(T, T, T) override;
  void bias_forward(T, T) override;
  void bias_backward(T, T) override;
  void residual_forward(T, T, T) override;
  void qk_norm_forward(T, T, T, T, T, double) override;
  void qk_norm_backward(T, T, T, T, T, T, T, T) override;
  void rope_tables(T, T, double) override;
  void rope_forward(T, T, T, int64_t) override;
  void rope_backward(T, T, T, int64_t) override;
  void attention_forward(T, T, T) override;
  void attention_backward(T, T, T, T, T) override;
  void swiglu_forward(T, T) override;
  void swiglu_backward(T, T, T) override;
  void gelu_forward(T, T) override;
  void gelu_backward(T, T, T) override;
  void lm_head_loss(T, T, T, T, T, T, double, T) override;

  void router_linear_forward(T, T, T) override;
  void router_linear_backward(T, T, T, T, T, Write) override;
  void router_softmax_forward(T, T, T) override;
  void router_softmax_backward(T, T, T) override;
  void topk_forward(T, T, T, bool, T) override;
  void topk_backward(T, T, T, T, T, bool) override;
  void drop_choices(T, T, T, int64_t) override;
  void sigmoid_router_forward(T, T) override;
  void sigmoid_router_backward(T, T, T) override;
  void mean_fractions(T, T, T) override;
  void relu_router_forward(T, T, T) override;
  void relu_router_backward(T, T, T) override;
  void excess_accumulate(T, T, int64_t) override;
  void l1_commit(T, T, double) override;
  void sparsemixer_forward(T, T, T, T, double, T, int64_t) override;
  void sparsemixer_backward(T, T, T, T) override;
  void sampler_advance(T, int64_t) override;
  void sort_by_expert(T, T, T, T) override;
  void scatter_rows_add(T, T, T) override;
  void grouped_linear_forward(T, T, T, T, T) override;
  void grouped_linear_backward_input(T, T, T, T) override;
  void grouped_linear_backward_weight(T, T, T, T, T) override;
  void grouped_swiglu_forward(T, T, T, T, T, T) override;
  void grouped_swiglu_backward(T, T, T, T, T) override;
  void topk_combine_forward(T, T, T, T) override;
  void topk_combine_backward(T, T, T, T, T, T) override;
  void default_combine_forward(T, T, T, T, T, T) override;
  void default_combine_backward(T, T, T, T, T, T, T, T) override;
  void default_clip_scale(T, T, double) override;
  void default_accumulate(T, T, T, T, T, T, T, Divisor) override;
  void default_commit(T, T, T, double, bool) override;
  void expert_fractions(T, T, int64_t) override;
  void load_balance_forward(T, T, T) override;
  void load_balance_backward(T, T, double, T) override;
  void load_accumulate(T, T) override;
  void bias_commit(T, T, double) override;
  void z_loss_forward(T, T) override;
  void z_loss_backward(T, T, T, double) override;
  void router_entropy(T, T, bool) override;

  void zero(T) override;
  void copy(T, T) override;
  void cast(T, T) override;
  void accumulate_sum(T, T) override;
  void squared_norm(T, T) override;
  void clip_scale(T, T, T, double) override;
  void adamw(T, T, T, T, T, T, T, const AdamwConstants&) override;
  int64_t count_nonfinite(T x) override { return ops_.count_nonfinite(x); }

 private:
  struct Call {
    const char* op;
    Part part;
    std::string shape;
    double bytes;
  };
  template <typename Method, typename... Arguments>
  void timed(const Call& call, Method method, const Arguments&... arguments);
  template <typename Method, typename... Arguments>
  void moves(const char* op, double bytes, Method method, T first, const Arguments&... rest);
  // Bytes of the live ones of sorted rows.
  template <typename... Tensors>
  double live(const Tensors&... rows) const;
  // Of what grouped products read: sorted rows, or with slots the tokens'.
  double source(T x, T slots) const;

  Ops& ops_;
  PlanOps plan_;
  double live_share_;
  OpTotals totals_;
};

}  // namespace gptmoe
