#include "train/saved_step.h"

namespace gptmoe {

void SavedStep::resume(int64_t step) {
  step_ = step;
  proven_ = false;
}

void SavedStep::save(const CheckpointTensors& tensors, const CheckpointState& state) {
  save_checkpoint(run_dir_, state.step, tensors, state, keep_ > 0 ? keep_ + 1 : 0);
  step_ = state.step;
  proven_ = false;
}

void SavedStep::prove() {
  if (proven_) return;
  proven_ = true;
  if (world_.is_root()) remove_old_checkpoints(run_dir_, step_, keep_);
}

}  // namespace gptmoe
