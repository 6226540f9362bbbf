#include "optim/adamw.h"

namespace gptmoe {

void AdamW::allocate(Arena& arena, const ParamTable& params, DType stat) {
  m_ = arena.allocate(stat, {params.element_count()});
  v_ = arena.allocate(stat, {params.element_count()});
  clip_scale_1_ = arena.allocate(stat, {1});
  rates_3_ = arena.allocate(stat, {3});
}

void AdamW::set_step(Memory& memory, double learning_rate, int64_t step) const {
  upload_values(memory, rates_3_, adamw_rates(learning_rate, constants(true), step).data());
}

void AdamW::measure_norm(const Pass& pass, const ParamTable& params, const Tensor& squared_norm_1) const {
  pass.ops.squared_norm(squared_norm_1, params.grads());
}

void AdamW::update(const Pass& pass, const ParamTable& params, const Tensor& squared_norm_1,
                   const Tensor& loss_1) const {
  pass.ops.clip_scale(clip_scale_1_, squared_norm_1, loss_1, config_.grad_clip);
  for (const ParamTable::Range& range : params.decay_ranges()) {
    const auto part = [&range](const Tensor& storage) {
      return storage.present() ? storage.rows(range.offset, range.count) : Tensor{};
    };
    pass.ops.adamw(part(params.values()), part(params.master()), part(m_), part(v_), part(params.grads()),
                   clip_scale_1_, rates_3_, constants(range.weight_decay));
  }
}

}  // namespace gptmoe
