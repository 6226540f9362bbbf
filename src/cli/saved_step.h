#pragma once
#include <filesystem>

#include "checkpoint/checkpoint.h"

namespace gptmoe {

// The step of a run's last checkpoint; -1 without one. Throws UserError if it cannot be read.
inline int64_t saved_step(const std::filesystem::path& run_dir) {
  const auto checkpoint = latest_checkpoint(run_dir);
  return checkpoint ? read_checkpoint_state(*checkpoint).step : -1;
}

}  // namespace gptmoe
