#include "engine/engine.h"

#include <algorithm>

#include "engine/train_step.h"
#include "kernels/plan_ops.h"

namespace gptmoe {
namespace {

ActivationMode activation_mode(const Config& config, Purpose purpose) {
  if (purpose == Purpose::forward) return ActivationMode::forward_only;
  return config.train.recompute == "block" ? ActivationMode::train_recompute : ActivationMode::train;
}

DataParallelOptions data_parallel_options(const Config& config, Purpose purpose, RankOf rank) {
  const int64_t stage = rank.size > 1 ? config.distributed.zero_stage : 0;
  return {.shard_optimizer = stage >= 1,
          .shard_gradients = stage >= 2 && purpose == Purpose::train,
          .head_in_first_bucket = config.model.tie_word_embeddings,
          .reduce_in_bf16 = config.distributed.reduce_dtype == "bf16"};
}

// Bytes that scoring train.tasks needs in addition to the model: a forward pass over windows of the model's whole
// length, with about as many tokens as a micro-batch of B * T.
int64_t task_bytes(const Config& config, int64_t B, int64_t T, const Ops& ops) {
  const int64_t context = config.model.max_position_embeddings;
  const Engine largest(config, Purpose::forward, std::max<int64_t>(1, B * T / context), context, ops);
  int64_t bytes = 0;
  for (const Engine::ArenaSize& arena : largest.arena_sizes())
    if (arena.name == "activations" || arena.name == "scratch") bytes += arena.bytes;
  return bytes;
}

TrafficCosts operator-(TrafficCosts a, const TrafficCosts& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i].calls -= b[i].calls, a[i].bytes -= b[i].bytes;
  return a;
}

}  // namespace

Engine::Engine(const Config& config, Purpose purpose, int64_t B, int64_t T, const Ops& ops, RankOf rank)
    : purpose_(purpose),
      rank_(rank),
      B_(B),
      T_(T),
      workspace_bytes_(ops.workspace_bytes()),
      mode_(activation_mode(config, purpose)),
      keeps_state_(purpose == Purpose::train && config.train.skip_spikes > 0),
      gpt_(config.model, config.router, ops.compute_dtype(), ops.statistics_dtype(),
           config.distributed.zero_stage > 0 ? rank.size : 1, config.data.document_end()),
      optimizer_(config.optimizer, gpt_.params()),
      weight_average_(config.train.weight_ema),
      data_parallel_(data_parallel_options(config, purpose, rank)) {
  lay_out(ops);
  FlopCounter counter(gpt_.live_share());
  Ops planning = make_plan_ops(ops).observed_by(counter);
  count_flops(planning, counter);
  if (purpose == Purpose::train) count_optimizer_flops(ops);
  if (purpose == Purpose::train && rank.size > 1) count_traffic(config, planning);
  if (purpose == Purpose::train && !config.train.tasks.files.empty())
    count_also("task scoring", task_bytes(config, B, T, ops));
}

void Engine::lay_out(const Ops& ops) {
  ParamTable& params = gpt_.params();
  const DType real = ops.compute_dtype(), stat = ops.statistics_dtype();
  const Tensor values = parameters_.allocate(real, {params.element_count()});
  Tensor grads, master;
  const Partition held = purpose_ != Purpose::train          ? params.stat_rows()
                         : data_parallel_.shards_optimizer() ? params.partition_of(rank_.rank)
                                                             : params.whole();
  const std::vector<Tensor> windows = data_parallel_.allocate_windows(gradients_, params, stat);
  if (purpose_ != Purpose::forward)
    grads = gradients_.allocate(stat, {windows.empty() ? params.element_count() : held.count()});
  if (purpose_ == Purpose::train) {
    if (real != stat) master = moments_.allocate(stat, {held.count()});
    optimizer_.allocate(moments_, held, stat);
    weight_average_.allocate(moments_, held, stat);
    if (rank_.size > 1) data_parallel_.allocate(communication_, params);
  } else if (real != stat) {
    master = parameters_.allocate(stat, {held.count()});
  }
  params.bind(values, grads, master, held, windows);
  gpt_.state().allocate(state_);
  if (const int64_t words = state_.used() / dtype_bytes(DType::i32); keeps_state_ && words > 0) {
    router_state_ = Tensor(state_.data(), DType::i32, {words});
    kept_state_ = state_.allocate(DType::i32, {words});
  }
  activations_ = gpt_.allocate(activations_arena_, ops, B_, T_, mode_);
  const Tensor& stats = activations_.router_stats_LW;
  const int64_t routed = stats.present() ? stats.count() : 0;
  const bool z_loss = activations_.z_loss_1.present();
  sums_.all_S = activations_arena_.allocate(stat, {routed + (z_loss ? 3 : 2)});
  if (routed > 0) sums_.router_LW = sums_.all_S.rows(0, routed).view({stats.size(0), stats.size(1)});
  sums_.loss_1 = sums_.all_S.rows(routed, 1);
  sums_.squared_norm_1 = sums_.all_S.rows(routed + 1, 1);
  if (z_loss) sums_.z_loss_1 = sums_.all_S.rows(routed + 2, 1);
}

void Engine::count_flops(Ops& ops, FlopCounter& counter) {
  const auto communicator = make_counting_communicator(rank_.size);
  const auto tokens = static_cast<double>(B_ * T_);
  const Pass forward{ops, scratch_, *communicator, PassKind::evaluate};
  gpt_.forward(forward, activations_);
  gpt_.loss(forward, activations_);
  forward_flops_ = counter.flops() / tokens;
  if (purpose_ == Purpose::forward) return;

  counter.reset();
  Activations kept = activations_;
  kept.mode = ActivationMode::train;  // recomputation does not count
  const Pass train = forward.as(PassKind::train);
  gpt_.forward(train, kept);
  gpt_.loss_and_backward(train, kept, 1.0);
  backward_flops_ = counter.flops() / tokens - forward_flops_;
  gpt_.loss_and_backward(train, activations_, 1.0);  // measures the scratch memory that recomputation needs
}

// Muon multiplies the matrices of all experts, whatever the routing, so all sorted rows of its products are live. The
// call to update() also measures the scratch memory that it needs.
void Engine::count_optimizer_flops(const Ops& ops) {
  const auto communicator = make_counting_communicator(rank_.size);
  FlopCounter counter(1);
  Ops planning = make_plan_ops(ops).observed_by(counter);
  optimizer_.update({planning, scratch_, *communicator, PassKind::train}, gpt_.params(), sums_.squared_norm_1,
                    sums_.loss_1);
  optimizer_flops_ = counter.flops();
}

void Engine::count_traffic(const Config& config, Ops& ops) {
  const auto in_micro_batch = make_counting_communicator(rank_.size), in_step = make_counting_communicator(rank_.size);
  TrainStep inner(config, *this, ops, *in_micro_batch), step(config, *this, ops, *in_step);
  inner.micro_batch(inner.micro_batch_part(false, false));
  step.micro_batch(step.micro_batch_part(true, true));
  step.measure();
  step.update();
  traffic_.micro_batch = in_micro_batch->costs();
  traffic_.step = in_step->costs() - traffic_.micro_batch;
}

void Engine::commit(Ops& ops) {
  for (Arena* arena : {&parameters_, &gradients_, &moments_, &state_, &activations_arena_, &communication_})
    arena->commit(ops.memory());
  scratch_.commit(ops.memory());
  lay_out(ops);
  memory_ = &ops.memory();
  batch_tokens_BT_ = activations_.tokens_BT;
  batch_targets_BT_ = activations_.targets_BT;
  if (!memory_->on_host()) {
    batch_.resize(static_cast<size_t>(2 * B_ * T_));
    batch_tokens_BT_ = Tensor(batch_.data(), DType::i32, {B_, T_});
    batch_targets_BT_ = Tensor(batch_.data() + B_ * T_, DType::i32, {B_, T_});
  }
  gpt_.prepare(ops, activations_.rope);
  if (purpose_ == Purpose::train) optimizer_.prepare(ops.memory());
}

void Engine::upload_batch() {
  if (memory_->on_host()) return;
  memory_->upload(activations_.tokens_BT, batch_tokens_BT_.data());
  memory_->upload(activations_.targets_BT, batch_targets_BT_.data());
}

std::vector<Engine::ArenaSize> Engine::arena_sizes() const {
  std::vector<ArenaSize> sizes;
  for (const Arena* arena :
       {&parameters_, &gradients_, &moments_, &state_, &activations_arena_, static_cast<const Arena*>(&scratch_)})
    sizes.push_back({arena->name(), arena->high_water()});
  if (communication_.high_water() > 0) sizes.push_back({communication_.name(), communication_.high_water()});
  if (workspace_bytes_ > 0) sizes.push_back({"workspace", workspace_bytes_});
  sizes.insert(sizes.end(), others_.begin(), others_.end());
  return sizes;
}

int64_t Engine::total_bytes() const {
  int64_t bytes = 0;
  for (const ArenaSize& arena : arena_sizes()) bytes += arena.bytes;
  return bytes;
}

}  // namespace gptmoe
