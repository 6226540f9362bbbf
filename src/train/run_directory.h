#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>

#include "config/config.h"

namespace gptmoe {

// The config of the run in `run_dir` (its config.json). Throws UserError when there is none.
Config run_config(const std::filesystem::path& run_dir);

// Keeps a second trainer out of a run directory while it lives; the system releases it when the process ends.
class RunLock {
 public:
  // Throws UserError when another process holds it.
  explicit RunLock(const std::filesystem::path& run_dir);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int fd_;
};

bool holds_run(const std::filesystem::path& run_dir);

// Starts a run directory: makes it and writes the resolved config. Throws UserError when it already holds a run.
void start_run_directory(const std::filesystem::path& run_dir, const Config& config);

// A run goes on with the config it began with. Throws UserError naming the first field that differs; what may differ is
// when to evaluate, log and save, and where to compute. The new config replaces config.json.
void continue_run_directory(const std::filesystem::path& run_dir, const Config& config);

}  // namespace gptmoe
