#pragma once
#include "memory/pass.h"
#include "model/layer_setup.h"
#include "model/tensors.h"

namespace gptmoe {

// RMSNorm or LayerNorm over the model width, by "model.norm_type".
class Norm {
 public:
  // Parameters NAME.weight and, for LayerNorm, NAME.bias.
  Norm(const LayerSetup& setup, const std::string& name);

  NormSaved allocate(Arena& arena, const Ops& ops, int64_t N) const;
  // Writes y_NC (=).
  void forward(const Pass& pass, const NormSaved& saved, const Tensor& y_NC, const Tensor& x_NC) const;
  // Adds to dx_NC and to the parameters' gradients (+=).
  void backward(const Pass& pass, const NormSaved& saved, const Tensor& dx_NC, const Tensor& dy_NC,
                const Tensor& x_NC) const;

 private:
  const ParamTable& params_;
  bool layernorm_;
  double eps_;
  NormWeights weights_;
};

}  // namespace gptmoe
