#pragma once
#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "distributed/world.h"

namespace gptmoe {

// The last step that a run saved. The step is proven once a finite loss has been computed from its weights, since
// finite weights may still overflow in use. Until then the checkpoint before it is kept too, even if checkpoint.keep is
// 1.
class SavedStep {
 public:
  // `keep`: checkpoint.keep of the run.
  SavedStep(std::filesystem::path run_dir, int64_t keep, World& world)
      : run_dir_(std::move(run_dir)), keep_(keep), world_(world) {}

  int64_t step() const { return step_; }   // -1: none is saved
  bool proven() const { return proven_; }  // true if no step is saved
  // Call if the run continues from the checkpoint of this step.
  void resume(int64_t step);
  // Every rank calls this. Saves state.step; throws the errors of save_checkpoint().
  void save(const CheckpointTensors& tensors, const CheckpointState& state);
  // Call when a finite loss was computed from the saved step or a later one.
  void prove();

 private:
  const std::filesystem::path run_dir_;
  const int64_t keep_;
  World& world_;
  int64_t step_ = -1;
  bool proven_ = true;
};

}  // namespace gptmoe
