#pragma once
#include <optional>

#include "model/attention.h"
#include "model/moe_layer.h"
#include "model/norm.h"

namespace gptmoe {

// One pre-norm transformer block:  mid = x + attention(norm1(x));  out = mid + ffn(norm2(mid)).
class TransformerBlock {
 public:
  TransformerBlock(const LayerSetup& setup, const RouterConfig& router, int64_t layer);

  // stats_W: this layer's row of the router statistics; absent for a dense layer.
  BlockSaved allocate(Arena& arena, const Ops& ops, int64_t B, int64_t T, const Tensor& stats_W) const;
  // Writes out_NC (=).
  void forward(const Pass& pass, const BlockSaved& saved, const RopeTables& rope, const Tensor& out_NC,
               const Tensor& x_NC) const;
  // dx_NC holds the gradient of out on entry and of x on return. Consumes `saved`.
  void backward(const Pass& pass, const BlockSaved& saved, const RopeTables& rope, const Tensor& dx_NC,
                const Tensor& x_NC) const;

  const Attention& attention() const { return attention_; }
  const MoeLayer* moe() const { return moe_ ? &*moe_ : nullptr; }

 private:
  int64_t C_;
  Norm norm1_;
  Attention attention_;
  Norm norm2_;
  std::optional<Mlp> mlp_;
  std::optional<MoeLayer> moe_;
};

}  // namespace gptmoe
