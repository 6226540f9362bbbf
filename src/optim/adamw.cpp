#include "optim/adamw.h"

namespace gptmoe {

void AdamW::allocate(Arena& arena, const ParamTable& params, DType stat) {
  m_ = arena.allocate(stat, {params.element_count()});
  v_ = arena.allocate(stat, {params.element_count()});
  squared_norm_1_ = arena.allocate(stat, {1});
  clip_scale_1_ = arena.allocate(stat, {1});
}

void AdamW::measure_norm(const Pass& pass, const ParamTable& params) const {
  pass.ops.squared_norm(squared_norm_1_, params.grads());
}

void AdamW::step(const Pass& pass, const ParamTable& params, double learning_rate, int64_t step) const {
  pass.ops.clip_scale(clip_scale_1_, squared_norm_1_, config_.grad_clip);
  for (const ParamTable::Range& range : params.decay_ranges()) {
    const AdamwStep update{
        learning_rate, config_.beta1, config_.beta2, config_.eps, range.weight_decay ? config_.weight_decay : 0.0,
        step};
    const auto part = [&range](const Tensor& storage) {
      return storage.present() ? storage.rows(range.offset, range.count) : Tensor{};
    };
    pass.ops.adamw(part(params.values()), part(params.master()), part(m_), part(v_), part(params.grads()),
                   clip_scale_1_, update);
  }
}

}  // namespace gptmoe
