#pragma once
// What a run can go on from. In the run's folder:
//   checkpoints/LATEST                       the name of the folder to go on from
//   checkpoints/step_NNNNNNNN/state.json     CheckpointState, and a checksum of every file
//   checkpoints/step_NNNNNNNN/model.safetensors      every parameter row, of the master where there is one, and every
//                                                    persistent state row
//   checkpoints/step_NNNNNNNN/optimizer.safetensors  Adam's moments: "m." and "v." before the name of the row
// A checkpoint is written as step_NNNNNNNN.tmp, flushed, renamed, then named by LATEST: a crash at any moment leaves
// what was there before or the new one, whole. A step saved again waits as step_NNNNNNNN.old meanwhile.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/tensor.h"
#include "checkpoint/checkpoint_state.h"
#include "distributed/world.h"
#include "memory/param_table.h"
#include "memory/state_table.h"

namespace gptmoe {

struct CheckpointTensors {
  const ParamTable& params;
  const StateTable& state;
  Tensor m, v;                     // rank 1, of what `held` names; both absent: the model alone
  Memory& memory = host_memory();  // where all of them live
  // What m, v and the table's master hold on this rank; the ranks of `world` hold everything together.
  Partition held = params.whole();
  World* world = nullptr;  // null: one rank
};

// Called by every rank, of which the first writes. Writes step `step` and makes it the latest, then removes all but the
// newest `keep` checkpoints up to this step (0: keeps all; those of later steps, left when a run is taken back, stay)
// and what crashes left behind. Throws Failure, naming path and reason, when the disk does not take it; the checkpoints
// that were there before and LATEST then stand as they were.
void save_checkpoint(const std::filesystem::path& run_dir, int64_t step, const CheckpointTensors& tensors,
                     const CheckpointState& state, int64_t keep);

// The complete checkpoints of a run, oldest step first.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& run_dir);
// The one LATEST names, or the one of the highest step where LATEST is missing or names none that is complete.
std::optional<std::filesystem::path> latest_checkpoint(const std::filesystem::path& run_dir);
// `path` itself where it is a checkpoint, its latest where it is the folder of a run; else throws UserError.
std::filesystem::path resolve_checkpoint(const std::filesystem::path& path);

// The following verify the checksum of every file they read, the format and the shapes before they write to any tensor.
// All errors are UserErrors naming the file, what is wrong (damage, a newer format, another model) and the remedy.

// The `state` that was saved, reading state.json alone.
CheckpointState read_checkpoint_state(const std::filesystem::path& checkpoint_dir);
// tensors = the checkpoint's (F32 widens to f64 tables, and is rounded to the bf16 that layers take); returns the
// `state` that was saved. Without m and v the optimizer's file is not looked at.
CheckpointState load_checkpoint(const std::filesystem::path& checkpoint_dir, const CheckpointTensors& tensors);
// The model alone, for evaluation, generation and export.
CheckpointState load_model(const std::filesystem::path& checkpoint_dir, const ParamTable& params,
                           const StateTable& state, Memory& memory = host_memory());

}  // namespace gptmoe
