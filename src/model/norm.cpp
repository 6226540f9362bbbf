#include "model/norm.h"

namespace gptmoe {

Norm::Norm(const LayerSetup& setup, const std::string& name)
    : params_(setup.params), layernorm_(setup.config.norm_type == "layernorm"), eps_(setup.config.rms_norm_eps) {
  const int64_t C = setup.config.hidden_size;
  weight_ = setup.params.add({name + ".weight", {C}, Init::ones(), false});
  if (layernorm_) bias_ = setup.params.add({name + ".bias", {C}, Init::zeros(), false});
}

Norm::Saved Norm::allocate(Arena& arena, const Ops& ops, int64_t N) const {
  Saved saved;
  if (layernorm_) saved.mean_N = arena.allocate(ops.statistics_dtype(), {N});
  saved.rstd_N = arena.allocate(ops.statistics_dtype(), {N});
  return saved;
}

void Norm::forward(const Pass& pass, const Saved& saved, const Tensor& y_NC, const Tensor& x_NC) const {
  if (layernorm_)
    pass.ops.layernorm_forward(y_NC, saved.mean_N, saved.rstd_N, x_NC, params_.value(weight_), params_.value(bias_),
                               eps_);
  else
    pass.ops.rmsnorm_forward(y_NC, saved.rstd_N, x_NC, params_.value(weight_), eps_);
}

void Norm::backward(const Pass& pass, const Saved& saved, const Tensor& dx_NC, const Tensor& dy_NC,
                    const Tensor& x_NC) const {
  if (layernorm_)
    pass.ops.layernorm_backward(dx_NC, params_.grad(weight_), params_.grad(bias_), dy_NC, x_NC, params_.value(weight_),
                                saved.mean_N, saved.rstd_N);
  else
    pass.ops.rmsnorm_backward(dx_NC, params_.grad(weight_), dy_NC, x_NC, params_.value(weight_), saved.rstd_N);
}

}  // namespace gptmoe
