#include "bench/layers.h"

#include "base/rng.h"
#include "engine/backend.h"
#include "kernels/plan_ops.h"

namespace gptmoe {
namespace {

const ModelConfig& with_experts(const Variant& variant) {
  if (variant.config.model.num_experts == 0)
    user_error(variant.path, ": a dense model; `gptmoe bench layer` compares a MoE layer with a dense one");
  return variant.config.model;
}

void fill_normal(const Tensor& x, Memory& memory, uint64_t stream) {
  const Rng rng(1, stream);
  std::vector<float> values(static_cast<size_t>(x.count()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(rng.normal(i));
  upload_floats(memory, x, values.data());
}

}  // namespace

Layers::Layers(const Variant& variant)
    : label_(text(variant.label, " (", variant.config.router.type, ")")),
      model_(with_experts(variant)),
      B_(variant.config.train.micro_batch_size),
      T_(variant.config.train.sequence_length),
      ops_(make_backend(variant.config, variant.hopper)),
      communicator_(make_single_communicator()),
      params_(ops_->compute_dtype()),
      declare_{model_, params_, state_, ops_->statistics_dtype(), InitScheme(model_)},
      moe_(declare_, "moe.", variant.config.router),
      dense_(declare_, "dense.", active_width()),
      attention_(declare_, "attention.") {
  layers_ = {{"MoE", [this](const Pass& p) { moe_.forward(p, moe_saved_, y_NC_, x_NC_); },
              [this](const Pass& p) { moe_.backward(p, moe_saved_, dx_NC_, dy_NC_, x_NC_); }},
             {"dense FFN", [this](const Pass& p) { dense_.forward(p, dense_saved_, y_NC_, x_NC_, Write::assign); },
              [this](const Pass& p) { dense_.backward(p, dense_saved_, dx_NC_, dy_NC_, x_NC_, Write::assign); }},
             {"attention", [this](const Pass& p) { attention_.forward(p, attention_saved_, rope_, y_NC_, x_NC_); },
              [this](const Pass& p) { attention_.backward(p, attention_saved_, rope_, dx_NC_, dy_NC_, x_NC_); }}};
  params_.end_bucket();
  lay_out();
  Ops plan = make_plan_ops(*ops_);
  for (const Layer& layer : layers_) layer.forward(pass(plan)), layer.backward(pass(plan));
  arena_.commit(ops_->memory());
  scratch_.commit(ops_->memory());
  lay_out();
  start(static_cast<uint64_t>(variant.config.seed));
}

int64_t Layers::active_width() const {
  return (moe_.policy().live_experts_per_token() + model_.n_shared_experts) * model_.moe_intermediate_size;
}

void Layers::lay_out() {
  const DType real = ops_->compute_dtype(), stat = ops_->statistics_dtype();
  const int64_t N = B_ * T_, C = model_.hidden_size;
  const Partition held = real != stat ? params_.stat_rows() : params_.whole();
  const Tensor values = arena_.allocate(real, {params_.element_count()});
  const Tensor grads = arena_.allocate(stat, {params_.element_count()});
  params_.bind(values, grads, real != stat ? arena_.allocate(stat, {held.count()}) : Tensor{}, held);
  state_.allocate(arena_);
  rope_ = {arena_.allocate(stat, {T_, model_.head_dim / 2}), arena_.allocate(stat, {T_, model_.head_dim / 2})};
  moe_saved_ = moe_.allocate(arena_, *ops_, N, arena_.allocate(stat, {MoeLayer::stats_width(model_.num_experts)}));
  dense_saved_ = dense_.allocate(arena_, *ops_, N);
  attention_saved_ = attention_.allocate(arena_, *ops_, B_, T_);
  for (Tensor* x : {&x_NC_, &y_NC_, &dy_NC_, &dx_NC_}) *x = arena_.allocate(real, {N, C});
}

void Layers::start(uint64_t seed) {
  Memory& memory = ops_->memory();
  params_.initialize(memory, seed);
  moe_.policy().initialize_state(memory, seed);
  fill_normal(x_NC_, memory, 0);
  fill_normal(dy_NC_, memory, 1);
  ops_->rope_tables(rope_.cos_XP, rope_.sin_XP, model_.rope_theta);
}

std::string Layers::shape() const { return text(B_ * T_, "x", model_.hidden_size); }

Layers::Cost Layers::cost(const std::function<void(const Pass&)>& work, const Ceilings& ceilings) {
  OpTimer timer(*ops_, moe_.live_share());
  Ops timed = ops_->observed_by(timer);
  work(pass(timed));
  Cost cost;
  for (const auto& [op, total] : timer.take_totals()) {
    cost.flops += total.flops;
    cost.bytes += total.bytes;
    cost.floor += ceilings.floor_of(total.flops, total.bytes);
  }
  return cost;
}

double Layers::seconds(const std::function<void(const Pass&)>& work) {
  return seconds_of(*ops_, [&] { work(pass(*ops_)); });
}

}  // namespace gptmoe
