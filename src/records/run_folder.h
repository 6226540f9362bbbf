#pragma once
// Which folders are runs or checkpoints, and which run a checkpoint belongs to.
#include <filesystem>
#include <optional>

namespace gptmoe {

inline constexpr const char* kRunConfigFile = "config.json";
inline constexpr const char* kCheckpointsFolder = "checkpoints";
inline constexpr const char* kModelFile = "model.safetensors";          // in a checkpoint
inline constexpr const char* kAverageFile = "average.safetensors";      // in a checkpoint with train.weight_ema
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";  // in a checkpoint that a run can resume
inline constexpr const char* kCheckpointStateFile = "state.json";  // written last: a folder that holds it is complete

// Whether the folder is a run's, even if the run has just begun. A run's folder holds config.json. So do a checkpoint
// and a model that was exported for other programs, but they are not runs. A config.json that cannot be read counts as
// a run's: the code that reads the run reports what is wrong. Throws UserError naming the path and the system's reason
// if the folder cannot be accessed.
bool holds_run(const std::filesystem::path& folder);

// Whether the folder is a complete checkpoint. Throws the UserError of holds_run(), and UserError if state.json is not
// a regular file.
bool is_checkpoint(const std::filesystem::path& folder);

// The folder of the run that the checkpoint belongs to: RUN, if the checkpoint is RUN/checkpoints/NAME. nullopt if the
// checkpoint is not in a run's folder. The path is relative if `checkpoint` is. Throws the UserError of holds_run().
std::optional<std::filesystem::path> run_of_checkpoint(const std::filesystem::path& checkpoint);

}  // namespace gptmoe
