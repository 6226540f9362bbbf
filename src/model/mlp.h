#pragma once
#include "memory/pass.h"
#include "model/layer_setup.h"
#include "model/tensors.h"

namespace gptmoe {

// The activation between an FFN's two matrix products, by "model.hidden_act".
//   silu: SwiGLU; the first product is [gate, up], 2F wide.   gelu: plain; the first product is F wide.
class Activation {
 public:
  explicit Activation(const ModelConfig& config) : gated_(config.hidden_act == "silu") {}
  int64_t input_width(int64_t F) const { return gated_ ? 2 * F : F; }
  bool gated() const { return gated_; }
  // Writes a_RF (=).
  void forward(const Pass& pass, const Tensor& a_RF, const Tensor& h) const {
    gated_ ? pass.ops.swiglu_forward(a_RF, h) : pass.ops.gelu_forward(a_RF, h);
  }
  // Writes dh (=).
  void backward(const Pass& pass, const Tensor& dh, const Tensor& da_RF, const Tensor& h) const {
    gated_ ? pass.ops.swiglu_backward(dh, da_RF, h) : pass.ops.gelu_backward(dh, da_RF, h);
  }

  // The activation of experts, together with the grouped product that computes its input; with SwiGLU, both are one op.
  // Sets h_RU to x_NC w_EUC over the sorted rows, and writes a_RF (=).
  void grouped_forward(const Pass& pass, const Tensor& a_RF, const Tensor& h_RU, const Tensor& x_NC,
                       const Tensor& w_EUC, const Tensor& offsets_E1, const Tensor& slots_R) const;
  // dh_RU = the gradient of h_RU, where dy_RC is the gradient of a_RF w_ECF. dh_RU may alias h_RU.
  void grouped_backward(const Pass& pass, const Tensor& dh_RU, const Tensor& dy_RC, const Tensor& w_ECF,
                        const Tensor& h_RU, const Tensor& offsets_E1) const;

 private:
  bool gated_;
};

// The dense feed-forward network of one layer, or a MoE layer's shared experts (one FFN of their summed width).
class Mlp {
 public:
  // Parameters PREFIXgate_proj.weight (F, C; gated only), up_proj.weight (F, C), down_proj.weight (C, F).
  Mlp(const LayerSetup& setup, const std::string& prefix, int64_t F);

  MlpSaved allocate(Arena& arena, const Ops& ops, int64_t N) const;
  // Sets y_NC or adds to it, as `write` says.
  void forward(const Pass& pass, const MlpSaved& saved, const Tensor& y_NC, const Tensor& x_NC, Write write) const;
  // Sets dx_NC or adds to it, as `write` says. Adds to the parameters' gradients.
  void backward(const Pass& pass, const MlpSaved& saved, const Tensor& dx_NC, const Tensor& dy_NC, const Tensor& x_NC,
                Write write) const;

 private:
  const ParamTable& params_;
  Activation activation_;
  int64_t F_;
  MlpWeights weights_;
};

// The rows of an FFN's first product, in the order of their layout: [gate_proj, up_proj] or [up_proj].
std::vector<ParamSpec> first_product_rows(const Activation& activation, const std::string& prefix, int64_t F, int64_t C,
                                          const Init& init);

}  // namespace gptmoe
