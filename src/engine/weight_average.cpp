#include "engine/weight_average.h"

#include <algorithm>

namespace gptmoe {

void WeightAverage::allocate(Arena& arena, const Partition& partition, DType stat) {
  if (decay_ == 0) return;
  partition_ = partition;
  values_ = arena.allocate(stat, {partition.count()});
  keep_1_ = arena.allocate(stat, {1});
}

template <typename Visit>
void WeightAverage::for_each_piece(const ParamTable& params, Visit visit) const {
  if (!present()) return;
  const bool has_master = params.master().present();
  for (const Partition::Piece& piece : partition_.pieces())
    visit(values_.rows(piece.at, piece.count),
          has_master ? params.master().rows(piece.at, piece.count) : params.values().rows(piece.offset, piece.count));
}

void WeightAverage::start(Ops& ops, const ParamTable& params) const {
  for_each_piece(params, [&](const Tensor& average, const Tensor& weights) { ops.copy(average, weights); });
}

void WeightAverage::set_step(Memory& memory, int64_t step) const {
  if (!present()) return;
  const auto t = static_cast<double>(step);
  const double keep = std::min(decay_, (t - 1) / t);
  upload_values(memory, keep_1_, &keep);
}

void WeightAverage::update(Ops& ops, const ParamTable& params) const {
  for_each_piece(params,
                 [&](const Tensor& average, const Tensor& weights) { ops.moving_average(average, weights, keep_1_); });
}

void WeightAverage::exchange(Ops& ops, const ParamTable& params) const {
  for_each_piece(params, [&](const Tensor& average, const Tensor& weights) {
    const Tensor spare = params.grads().rows(0, average.count());
    ops.copy(spare, weights);
    ops.copy(weights, average);
    ops.copy(average, spare);
  });
  if (!present() || !params.master().present()) return;
  for (const Partition::Piece& piece : partition_.pieces())
    ops.cast(params.values().rows(piece.offset, piece.count), params.master().rows(piece.at, piece.count));
}

}  // namespace gptmoe
