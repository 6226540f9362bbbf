#include "kernels/plan_ops.h"

namespace gptmoe {
namespace {

double size(const Tensor& x, int i) { return static_cast<double>(x.size(i)); }

// One product of attention over the lower triangle: T (T + 1) / 2 scores of D multiply-adds for every head.
double attention_product(const Tensor& out_BTHD) {
  const double tokens = size(out_BTHD, 1);
  return 2 * size(out_BTHD, 0) * size(out_BTHD, 2) * size(out_BTHD, 3) * tokens * (tokens + 1) / 2;
}

}  // namespace

void PlanOps::linear_forward(T y_NO, T x_NI, T, Write) { product(size(y_NO, 0), size(y_NO, 1), size(x_NI, 1)); }
void PlanOps::linear_backward_input(T dx_NI, T dy_NO, T, Write) {
  product(size(dx_NI, 0), size(dx_NI, 1), size(dy_NO, 1));
}
void PlanOps::linear_backward_weight(T dw_OI, T dy_NO, T) { product(size(dw_OI, 0), size(dw_OI, 1), size(dy_NO, 0)); }

void PlanOps::attention_forward(T out_BTHD, T, T) { flops_ += 2 * attention_product(out_BTHD); }
void PlanOps::attention_backward(T, T dout_BTHD, T, T, T) {
  flops_ += 4 * attention_product(dout_BTHD);  // dV, dP, dQ, dK; recomputed scores are not model work
}

void PlanOps::lm_head_loss(T, T dx_NC, T, T x_NC, T w_VC, T, double, T) {
  product((dx_NC.present() ? 3 : 1) * size(x_NC, 0), size(w_VC, 0), size(w_VC, 1));
}

void PlanOps::router_linear_forward(T logits_NE, T x_NC, T) {
  product(size(x_NC, 0), size(x_NC, 1), size(logits_NE, 1));
}
void PlanOps::router_linear_backward(T, T, T dlogits_NE, T x_NC, T, Write) {
  product(2 * size(x_NC, 0), size(x_NC, 1), size(dlogits_NE, 1));
}

void PlanOps::grouped_linear_forward(T y_RO, T x, T, T, T) { routed_product(size(y_RO, 0), size(y_RO, 1), size(x, 1)); }
void PlanOps::grouped_linear_backward_input(T dx_RI, T dy_RO, T, T) {
  routed_product(size(dx_RI, 0), size(dx_RI, 1), size(dy_RO, 1));
}
void PlanOps::grouped_linear_backward_weight(T dw_EOI, T dy_RO, T x, T, T) {
  routed_product(size(dy_RO, 0), size(dw_EOI, 1), size(x, 1));
}
void PlanOps::grouped_swiglu_forward(T, T h_R2F, T x, T, T, T) {
  routed_product(size(h_R2F, 0), size(h_R2F, 1), size(x, 1));
}
void PlanOps::grouped_swiglu_backward(T, T dy_RO, T w_EOF, T, T) {
  routed_product(size(dy_RO, 0), size(dy_RO, 1), size(w_EOF, 2));
}

}  // namespace gptmoe
