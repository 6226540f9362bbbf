#include "model/norm.h"

namespace gptmoe {

Norm::Norm(const LayerSetup& setup, const std::string& name)
    : params_(setup.params), layernorm_(setup.config.norm_type == "layernorm"), eps_(setup.config.rms_norm_eps) {
  const int64_t C = setup.config.hidden_size;
  weights_.weight_C = setup.params.add({name + ".weight", {C}, Init::ones(), false});
  if (layernorm_) weights_.bias_C = setup.params.add({name + ".bias", {C}, Init::zeros(), false});
}

NormSaved Norm::allocate(Arena& arena, const Ops& ops, int64_t N) const {
  NormSaved saved;
  if (layernorm_) saved.mean_N = arena.allocate(ops.statistics_dtype(), {N});
  saved.rstd_N = arena.allocate(ops.statistics_dtype(), {N});
  return saved;
}

void Norm::forward(const Pass& pass, const NormSaved& saved, const Tensor& y_NC, const Tensor& x_NC) const {
  if (layernorm_)
    pass.ops.layernorm_forward(y_NC, saved.mean_N, saved.rstd_N, x_NC, params_.value(weights_.weight_C),
                               params_.value(weights_.bias_C), eps_);
  else
    pass.ops.rmsnorm_forward(y_NC, saved.rstd_N, x_NC, params_.value(weights_.weight_C), eps_);
}

void Norm::backward(const Pass& pass, const NormSaved& saved, const Tensor& dx_NC, const Tensor& dy_NC,
                    const Tensor& x_NC) const {
  if (layernorm_)
    pass.ops.layernorm_backward(dx_NC, params_.grad(weights_.weight_C), params_.grad(weights_.bias_C), dy_NC, x_NC,
                                params_.value(weights_.weight_C), saved.mean_N, saved.rstd_N);
  else
    pass.ops.rmsnorm_backward(dx_NC, params_.grad(weights_.weight_C), dy_NC, x_NC, params_.value(weights_.weight_C),
                              saved.rstd_N);
}

}  // namespace gptmoe
