#pragma once
#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "distributed/world.h"

namespace gptmoe {

// The last step that a run saved. It is proven when a finite loss is computed from it: finite weights may still
// overflow when they are used. Until then the checkpoint before it is kept, whatever checkpoint.keep says.
class SavedStep {
 public:
  // `keep`: checkpoint.keep of the run.
  SavedStep(std::filesystem::path run_dir, int64_t keep, World& world)
      : run_dir_(std::move(run_dir)), keep_(keep), world_(world) {}

  int64_t step() const { return step_; }   // -1: none is saved
  bool proven() const { return proven_; }  // true if no step is saved
  // Call if the run continues from the checkpoint of this step.
  void resume(int64_t step);
  // Every rank calls this. Saves state.step and throws as save_checkpoint() does.
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
