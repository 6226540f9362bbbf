#include "engine/optimizer.h"

namespace gptmoe {

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
  second_moments_ = params.whole().without(muon_.elements());
  if (config.state_dtype != "8bit") return;
  std::vector<bool> none(rules.size()), muon;
  for (const UpdateRule& rule : rules) muon.push_back(rule.muon);
  coded_first_ = coded_rows(params, none);
  coded_second_ = coded_rows(params, muon);
}

void Optimizer::allocate(Arena& arena, const Partition& partition, DType stat) {
  partition_ = partition;
  const DType kept_in = config_.state_dtype == "bf16" ? DType::bf16 : stat;
  m_.allocate(arena, partition, coded_first_, kept_in, stat);
  v_.allocate(arena, partition.common_with(second_moments_), coded_second_, kept_in, stat);
  clip_scale_1_ = arena.allocate(stat, {1});
  rates_3_ = arena.allocate(stat, {3});
  if (config_.state_dtype != "f32") step_1_ = arena.allocate(stat, {1});
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
  v_.for_each_part(range.offset, range.count, [&](int64_t offset, int64_t count) {
    const Partition::Piece held = partition_.within(offset, count).front();
    const Tensor& master = params.master();
    Scratch::Frame frame(pass.scratch);
    const Moment::Part m = m_.part(pass, frame, offset, count), v = v_.part(pass, frame, offset, count);
    pass.ops.adamw(params.values().rows(offset, count), master.present() ? master.rows(held.at, count) : Tensor{},
                   m.values(), v.values(), params.held_grads(held), clip_scale_1_, rates_3_, constants);
    m.store(pass, step_1_, params.place(offset));
    v.store(pass, step_1_, params.place(offset));
  });
}

}  // namespace gptmoe
