#pragma once
// Checkpoints: what a run needs to continue. The folder of a checkpoint (checkpoint/checkpoint_folders.h) holds:
//   state.json             CheckpointState, and a checksum of every file
//   model.safetensors      every parameter row, from the master if there is one, and every persistent state row
//   average.safetensors    with train.weight_ema: the same rows, with the moving averages of the parameters
//   optimizer.safetensors  the moments, named "m." or "v." and the row's name; rows that follow Muon have no "v." The
//                          row of a moment in 8-bit codes has the codes; "m_scales." or "v_scales." and the row's name
//                          has the scales of its blocks, in order (kernels/block_code.h)
//   config.json            keeps Hugging Face's classes from opening the folder; gptmoe never reads it
//   tokenizer.json, ...    the tokenizer's files of an imported model; a run keeps them in its own folder
// A row is a named tensor of ParamTable or StateTable; memory/param_table.h says what the master is.
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/tensor.h"
#include "checkpoint/checkpoint_folders.h"
#include "checkpoint/checkpoint_state.h"
#include "checkpoint/safetensors.h"
#include "distributed/world.h"
#include "memory/coded_elements.h"
#include "memory/param_table.h"
#include "memory/state_table.h"

namespace gptmoe {

inline constexpr const char* kCheckpointModelType = "gptmoe_checkpoint";  // model_type in config.json

struct CheckpointTensors {
  const ParamTable& params;
  const StateTable& state;
  // The moments of the elements in `held` and `second_moments`, except those in coded_m and coded_v. Both are
  // one-dimensional, and absent if only the model is saved or loaded.
  Tensor m, v;
  Memory& memory = host_memory();  // holds all these tensors
  // The elements that this rank's master and m hold; the ranks of `world` together hold all elements.
  Partition held = params.whole();
  World* world = nullptr;  // null: one rank
  // The elements that have a v; they form whole rows. This rank has those that are also in `held`, in the same order.
  Partition second_moments = params.whole();
  Tensor average = {};  // the weights' moving average, laid out like `held`; absent: none
  CodedElements coded_m = {}, coded_v = {};
};

// Saves a checkpoint of step `step` and makes it the latest. Collective; rank 0 writes. Then removes incomplete folders
// of crashed saves, and all but the newest `keep` checkpoints up to this step (0: keeps all). Checkpoints of later
// steps stay; they exist if the run went back to an earlier step. Throws Failure, naming path and reason, if the disk
// fails; earlier checkpoints and LATEST then stay valid.
void save_checkpoint(const std::filesystem::path& run_dir, int64_t step, const CheckpointTensors& tensors,
                     const CheckpointState& state, int64_t keep);

// Writes a checkpoint that holds only a model into `folder` and flushes it to disk. `rows` are the rows of
// model.safetensors; `others` are the names and contents of further files. A run cannot continue from this checkpoint,
// but a new run can start from its weights. Throws Failure.
void write_model_checkpoint(const std::filesystem::path& folder, const std::vector<TensorSource>& rows,
                            const CheckpointState& state,
                            const std::vector<std::pair<std::string, std::string>>& others = {});

// Copies a checkpoint into another run and makes it the latest there. After a crash, an incomplete copy does not count
// as a checkpoint. Throws Failure if the disk fails.
void copy_checkpoint(const std::filesystem::path& checkpoint_dir, const std::filesystem::path& run_dir);

// The following functions verify the checksum of every file they read, the format and the shapes before they write to
// any tensor. All errors are UserErrors naming the file, what is wrong (damage, a newer format, another model) and the
// remedy.

// Verifies the whole checkpoint.
void verify_checkpoint(const std::filesystem::path& checkpoint_dir);
// Verifies one file of a checkpoint if state.json lists it.
void verify_checkpoint_file(const std::filesystem::path& file);
// The saved `state`; reads state.json alone.
CheckpointState read_checkpoint_state(const std::filesystem::path& checkpoint_dir);
// The step of a run's latest checkpoint; -1 without one.
int64_t saved_step(const std::filesystem::path& run_dir);
// Reads the checkpoint's values into `tensors` (F32 is widened for f64 tables and rounded for bf16 ones). Returns the
// saved `state`. Without m and v, the optimizer's file is not read.
CheckpointState load_checkpoint(const std::filesystem::path& checkpoint_dir, const CheckpointTensors& tensors);
// Which weights of a checkpoint to read: the last ones, or their moving average. The routers' state has no average:
// both choices read the last state.
enum class Weights { last, average };
// Loads only the model, for evaluation, generation and export. Throws UserError if the checkpoint has no average.
CheckpointState load_model(const std::filesystem::path& checkpoint_dir, const ParamTable& params,
                           const StateTable& state, Memory& memory = host_memory(), Weights weights = Weights::last);

// A checkpoint's model, open for reading.
struct ModelFile {
  CheckpointState state;
  std::string checksum;
  SafetensorsFile tensors;
};
// Verifies the file that holds `weights` and opens it.
ModelFile open_model(const std::filesystem::path& checkpoint_dir, World* world = nullptr,
                     Weights weights = Weights::last);
// The checksum of the checkpoint's model.safetensors; reads state.json alone.
std::string model_checksum(const std::filesystem::path& checkpoint_dir);
// Opens the file that holds `weights`, after the checks of load_model(), so that the caller can read one row at a time.
// The tables need no memory; they describe an f32 model.
SafetensorsFile open_model_of(const std::filesystem::path& checkpoint_dir, const ParamTable& params,
                              const StateTable& state, Weights weights = Weights::last);

}  // namespace gptmoe
