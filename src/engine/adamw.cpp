#include "engine/adamw.h"

namespace gptmoe {

void AdamW::allocate(Arena& arena, const Partition& partition, DType stat) {
  partition_ = partition;
  m_ = arena.allocate(stat, {partition.count()});
  v_ = arena.allocate(stat, {partition.count()});
  clip_scale_1_ = arena.allocate(stat, {1});
  rates_3_ = arena.allocate(stat, {3});
  squared_norms_P_ = arena.allocate(stat, {std::ssize(partition.pieces())});
}

void AdamW::set_step(Memory& memory, double learning_rate, int64_t step) const {
  upload_values(memory, rates_3_, adamw_rates(learning_rate, constants(true), step).data());
}

void AdamW::measure_norm(const Pass& pass, const ParamTable& params, const Tensor& squared_norm_1) const {
  const bool alone = partition_.replicated();
  int64_t measured = 0;
  for (const Partition::Piece& piece : partition_.pieces()) {
    // Elements that all ranks hold count on rank 0 only.
    if (alone || !piece.replicated || pass.communicator.rank() == 0)
      pass.ops.squared_norm(squared_norms_P_.rows(measured++, 1), params.grads().rows(piece.offset, piece.count));
  }
  pass.ops.zero(squared_norm_1);
  pass.ops.accumulate_sum(squared_norm_1, squared_norms_P_.rows(0, measured));
  if (!alone) pass.communicator.all_reduce(squared_norm_1, Traffic::gradients);
}

void AdamW::update(const Pass& pass, const ParamTable& params, const Tensor& squared_norm_1,
                   const Tensor& loss_1) const {
  pass.ops.clip_scale(clip_scale_1_, squared_norm_1, loss_1, config_.grad_clip);
  for (const ParamTable::Range& range : params.decay_ranges()) {
    for (const Partition::Piece& piece : partition_.within(range.offset, range.count)) {
      const auto of_table = [&](const Tensor& storage) { return storage.rows(piece.offset, piece.count); };
      const auto of_partition = [&](const Tensor& storage) {
        return storage.present() ? storage.rows(piece.at, piece.count) : Tensor{};
      };
      pass.ops.adamw(of_table(params.values()), of_partition(params.master()), of_partition(m_), of_partition(v_),
                     of_table(params.grads()), clip_scale_1_, rates_3_, constants(range.weight_decay));
    }
  }
}

}  // namespace gptmoe
