#include "engine/optimizer.h"

#include "engine/moment.h"

namespace gptmoe {
namespace {

// The table's elements that are not in `excluded`.
Partition elements_beside(const Partition& excluded, const ParamTable& params) {
  Partition rest;
  int64_t at = 0;
  for (const Partition::Piece& piece : excluded.pieces()) {
    if (at < piece.offset) rest.add(at, piece.offset - at);
    at = piece.offset + piece.count;
  }
  if (at < params.element_count()) rest.add(at, params.element_count() - at);
  return rest;
}

}  // namespace

Optimizer::Optimizer(const OptimizerConfig& config, const ParamTable& params)
    : Optimizer(config, params, update_rules(config, params)) {}

Optimizer::Optimizer(const OptimizerConfig& config, const ParamTable& params, const std::vector<UpdateRule>& rules)
    : config_(config), muon_(config, params, rules) {
  for (size_t r = 0; r < rules.size(); ++r) {
    const ParamRow& row = params.rows()[r];
    if (!ranges_.empty() && ranges_.back().rule == rules[r])
      ranges_.back().count = row.offset + row.count - ranges_.back().offset;
    else
      ranges_.push_back({row.offset, row.count, rules[r]});
  }
  second_moments_ = elements_beside(muon_.elements(), params);
}

void Optimizer::allocate(Arena& arena, const Partition& partition, DType stat) {
  partition_ = partition;
  held_second_moments_ = partition.common_with(second_moments_);
  const DType kept_in = config_.state_dtype == "bf16" ? DType::bf16 : stat;
  m_ = arena.allocate(kept_in, {partition.count()});
  v_ = arena.allocate(kept_in, {held_second_moments_.count()});
  clip_scale_1_ = arena.allocate(stat, {1});
  rates_3_ = arena.allocate(stat, {3});
  if (kept_in != stat) step_1_ = arena.allocate(stat, {1});
  squared_norms_P_ = arena.allocate(stat, {std::ssize(partition.pieces())});
  muon_.allocate(arena, partition);
}

void Optimizer::set_step(Memory& memory, double learning_rate, int64_t step) const {
  const AdamwConstants constants{config_.beta1, config_.beta2, config_.eps};
  upload_values(memory, rates_3_, adamw_rates(learning_rate, constants, step).data());
  if (!step_1_.present()) return;
  const auto number = static_cast<double>(step);
  upload_values(memory, step_1_, &number);
}

void Optimizer::measure_norm(const Pass& pass, const ParamTable& params, const Tensor& squared_norm_1) const {
  const bool alone = partition_.replicated();
  int64_t measured = 0;
  for (const Partition::Piece& piece : partition_.pieces()) {
    // Elements that all ranks hold count on rank 0 only.
    if (alone || !piece.replicated || pass.communicator.rank() == 0)
      pass.ops.squared_norm(squared_norms_P_.rows(measured++, 1), params.held_grads(piece));
  }
  pass.ops.zero(squared_norm_1);
  pass.ops.accumulate_sum(squared_norm_1, squared_norms_P_.rows(0, measured));
  if (!alone) pass.communicator.all_reduce(squared_norm_1, Traffic::gradients);
}

void Optimizer::update(const Pass& pass, const ParamTable& params, const Tensor& squared_norm_1,
                       const Tensor& loss_1) const {
  pass.ops.clip_scale(clip_scale_1_, squared_norm_1, loss_1, config_.grad_clip);
  for (const Range& range : ranges_)
    if (!range.rule.muon) adamw(pass, params, range);
  muon_.update(pass, params, m_, clip_scale_1_, rates_3_, step_1_);
}

void Optimizer::adamw(const Pass& pass, const ParamTable& params, const Range& range) const {
  const AdamwConstants constants{config_.beta1, config_.beta2, config_.eps, range.rule.weight_decay,
                                 range.rule.learning_rate_scale};
  for (const Partition::Piece& piece : held_second_moments_.within(range.offset, range.count)) {
    const Partition::Piece held = partition_.within(piece.offset, piece.count).front();
    const Tensor grads = params.held_grads(held);
    for_each_moment_part(pass, m_.dtype(), piece.count, [&](int64_t first, int64_t count) {
      const auto of_table = [&](const Tensor& storage) { return storage.rows(piece.offset + first, count); };
      const auto of_partition = [&](const Tensor& storage) {
        return storage.present() ? storage.rows(held.at + first, count) : Tensor{};
      };
      Scratch::Frame frame(pass.scratch);
      const Moment m(pass, frame, of_partition(m_)), v(pass, frame, v_.rows(piece.at + first, count));
      pass.ops.adamw(of_table(params.values()), of_partition(params.master()), m.values(), v.values(),
                     grads.rows(first, count), clip_scale_1_, rates_3_, constants);
      m.store(pass, step_1_, piece.offset + first, RoundingStream::first_moment);
      v.store(pass, step_1_, piece.offset + first, RoundingStream::second_moment);
    });
  }
}

}  // namespace gptmoe
