#pragma once
// A rank's model together with its memory. Construction plans every arena without touching memory, by running one step
// through ops that compute nothing; commit() then allocates exactly the planned memory. `gptmoe plan` stops before
// commit().
#include <string>
#include <vector>

#include "config/config.h"
#include "engine/optimizer.h"
#include "engine/weight_average.h"
#include "kernels/ops.h"
#include "model/data_parallel.h"
#include "model/gpt.h"

namespace gptmoe {

class FlopCounter;

// Purpose::gradients is forward and backward, without an optimizer.
enum class Purpose { train, gradients, forward };

// One of the ranks that train together.
struct RankOf {
  int rank = 0, size = 1;
};

// The traffic of each rank, by kind. `micro_batch` occurs in each micro-batch; `step` occurs once per step in addition.
struct PlannedTraffic {
  TrafficCosts micro_batch, step;
};

// Sums over one step (stat), contiguous so that one copy takes them to the host.
struct StepSums {
  Tensor all_S;
  Tensor router_LW;       // over micro-batches: router statistics, see Activations; absent if dense
  Tensor loss_1;          // over tokens: cross-entropy
  Tensor z_loss_1;        // over micro-batches: Activations::z_loss_1; absent without it
  Tensor squared_norm_1;  // over gradients: their squares
};

class Engine {
 public:
  // Plans the memory for micro-batches of B sequences of T tokens, laid out as `ops` needs it.
  Engine(const Config& config, Purpose purpose, int64_t B, int64_t T, const Ops& ops, RankOf rank = {});

  // Allocates the memory and fills the constants. Parameters are zero until initialised or loaded. `ops` must lay out
  // memory as the constructor's `ops` did, and must outlive the engine.
  void commit(Ops& ops);

  Gpt& gpt() { return gpt_; }
  const Gpt& gpt() const { return gpt_; }
  Optimizer& optimizer() { return optimizer_; }
  const Optimizer& optimizer() const { return optimizer_; }
  const WeightAverage& weight_average() const { return weight_average_; }
  DataParallel& data_parallel() { return data_parallel_; }
  const Activations& activations() const { return activations_; }
  // The host fills these with the next micro-batch. If the host can access activations().tokens_BT and targets_BT,
  // these are the same tensors; else they are buffers, which upload_batch() copies to those tensors.
  const Tensor& batch_tokens_BT() const { return batch_tokens_BT_; }
  const Tensor& batch_targets_BT() const { return batch_targets_BT_; }
  void upload_batch();
  Scratch& scratch() { return scratch_; }
  const StepSums& sums() const { return sums_; }
  // All rows of the routers' state as one tensor, and room for a copy of it. Absent if no step can be skipped
  // (train.skip_spikes) or if there is no state.
  const Tensor& router_state() const { return router_state_; }
  const Tensor& kept_state() const { return kept_state_; }

  struct ArenaSize {
    std::string name;
    int64_t bytes;
  };
  // Makes arena_sizes() and total_bytes() count memory that the caller will allocate in addition to the engine's.
  void count_also(const std::string& name, int64_t bytes) { others_.push_back({name, bytes}); }
  // The arenas, the ops' workspace if they have one, and what count_also() added.
  std::vector<ArenaSize> arena_sizes() const;
  int64_t total_bytes() const;
  Purpose purpose() const { return purpose_; }
  // Floating-point operations of the model's matrix products per token, without recomputation.
  // backward_flops_per_token() is 0 if the engine is forward-only.
  double forward_flops_per_token() const { return forward_flops_; }
  double backward_flops_per_token() const { return backward_flops_; }
  // Floating-point operations per step of the matrix products of Muon on this rank. 0 without Muon or without training.
  double optimizer_flops_per_step() const { return optimizer_flops_; }
  const PlannedTraffic& traffic() const { return traffic_; }
  RankOf rank() const { return rank_; }

 private:
  void lay_out(const Ops& ops);
  void count_flops(Ops& ops, FlopCounter& counter);
  void count_optimizer_flops(const Ops& ops);
  void count_traffic(const Config& config, Ops& ops);

  Purpose purpose_;
  RankOf rank_;
  int64_t B_, T_, workspace_bytes_;
  ActivationMode mode_;
  bool keeps_state_;
  Gpt gpt_;
  Optimizer optimizer_;
  WeightAverage weight_average_;
  DataParallel data_parallel_;
  Arena parameters_{"parameters"}, gradients_{"gradients"}, moments_{"optimizer"}, state_{"state"},
      activations_arena_{"activations"}, communication_{"communication"};
  Scratch scratch_;
  Activations activations_;
  Memory* memory_ = nullptr;
  std::vector<int32_t> batch_;
  Tensor batch_tokens_BT_, batch_targets_BT_;
  StepSums sums_;
  Tensor router_state_, kept_state_;
  double forward_flops_ = 0, backward_flops_ = 0, optimizer_flops_ = 0;
  PlannedTraffic traffic_;
  std::vector<ArenaSize> others_;
};

}  // namespace gptmoe
