#pragma once
#include "memory/pass.h"
#include "model/layer_setup.h"

namespace gptmoe {

// RMSNorm or LayerNorm over the model width, by "model.norm_type".
class Norm {
 public:
  struct Saved {
    Tensor mean_N, rstd_N;  // stat; mean only for LayerNorm
  };

  // Parameters NAME.weight and, for LayerNorm, NAME.bias.
  Norm(const LayerSetup& setup, const std::string& name);

  Saved allocate(Arena& arena, const Ops& ops, int64_t N) const;
  // y_NC =.
  void forward(const Pass& pass, const Saved& saved, const Tensor& y_NC, const Tensor& x_NC) const;
  // dx_NC +=, parameter gradients +=.
  void backward(const Pass& pass, const Saved& saved, const Tensor& dx_NC, const Tensor& dy_NC,
                const Tensor& x_NC) const;

 private:
  const ParamTable& params_;
  bool layernorm_;
  double eps_;
  ParamId weight_, bias_;
};

}  // namespace gptmoe
