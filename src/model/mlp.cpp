#include "model/mlp.h"

namespace gptmoe {

void Activation::grouped_forward(const Pass& pass, const Tensor& a_RF, const Tensor& h_RU, const Tensor& x_NC,
                                 const Tensor& w_EUC, const Tensor& offsets_E1, const Tensor& slots_R) const {
  if (gated_) return pass.ops.grouped_swiglu_forward(a_RF, h_RU, x_NC, w_EUC, offsets_E1, slots_R);
  pass.ops.grouped_linear_forward(h_RU, x_NC, w_EUC, offsets_E1, slots_R);
  forward(pass, a_RF, h_RU);
}

void Activation::grouped_backward(const Pass& pass, const Tensor& dh_RU, const Tensor& dy_RC, const Tensor& w_ECF,
                                  const Tensor& h_RU, const Tensor& offsets_E1) const {
  if (gated_) return pass.ops.grouped_swiglu_backward(dh_RU, dy_RC, w_ECF, h_RU, offsets_E1);
  Scratch::Frame frame(pass.scratch);
  const Tensor da_RF = frame.allocate(pass.ops.compute_dtype(), {dy_RC.size(0), w_ECF.size(2)});
  pass.ops.grouped_linear_backward_input(da_RF, dy_RC, w_ECF, offsets_E1);
  backward(pass, dh_RU, da_RF, h_RU);
}

std::vector<ParamSpec> first_product_rows(const Activation& activation, const std::string& prefix, int64_t F, int64_t C,
                                          const Init& init) {
  std::vector<ParamSpec> rows;
  if (activation.gated()) rows.push_back({prefix + "gate_proj.weight", {F, C}, init});
  rows.push_back({prefix + "up_proj.weight", {F, C}, init});
  return rows;
}

Mlp::Mlp(const LayerSetup& setup, const std::string& prefix, int64_t F)
    : params_(setup.params), activation_(setup.config), F_(F) {
  const int64_t C = setup.config.hidden_size;
  weights_.up_UC = setup.params.add_block(
      {activation_.input_width(F), C}, first_product_rows(activation_, prefix, F, C, Init::normal(setup.init.weight)));
  weights_.down_CF = setup.params.add({prefix + "down_proj.weight", {C, F}, Init::normal(setup.init.residual_writer)});
}

MlpSaved Mlp::allocate(Arena& arena, const Ops& ops, int64_t N) const {
  MlpSaved saved;
  saved.h_NU = arena.allocate(ops.compute_dtype(), {N, activation_.input_width(F_)});
  saved.a_NF = arena.allocate(ops.compute_dtype(), {N, F_});
  return saved;
}

void Mlp::forward(const Pass& pass, const MlpSaved& saved, const Tensor& y_NC, const Tensor& x_NC, Write write) const {
  pass.ops.linear_forward(saved.h_NU, x_NC, params_.value(weights_.up_UC));
  activation_.forward(pass, saved.a_NF, saved.h_NU);
  pass.ops.linear_forward(y_NC, saved.a_NF, params_.value(weights_.down_CF), write);
}

void Mlp::backward(const Pass& pass, const MlpSaved& saved, const Tensor& dx_NC, const Tensor& dy_NC,
                   const Tensor& x_NC, Write write) const {
  Scratch::Frame frame(pass.scratch);
  const Tensor da_NF = frame.allocate(pass.ops.compute_dtype(), {x_NC.size(0), F_});
  pass.ops.linear_backward_weight(params_.grad(weights_.down_CF), dy_NC, saved.a_NF);
  pass.ops.linear_backward_input(da_NF, dy_NC, params_.value(weights_.down_CF));
  const Tensor& dh_NU = saved.h_NU;  // in place: h is no longer needed
  activation_.backward(pass, dh_NU, da_NF, saved.h_NU);
  pass.ops.linear_backward_weight(params_.grad(weights_.up_UC), dh_NU, x_NC);
  pass.ops.linear_backward_input(dx_NC, dh_NU, params_.value(weights_.up_UC), write);
}

}  // namespace gptmoe
