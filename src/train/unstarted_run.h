#pragma once
#include <filesystem>
#include <vector>

namespace gptmoe {

// The folder of a new run until its training begins. If that fails before the first step, what the run has written
// there is removed: the folder, or its new entries if it was there before.
class UnstartedRun {
 public:
  // Call it before the run writes anything. Throws UserError if the folder cannot be read.
  explicit UnstartedRun(std::filesystem::path run_dir);
  // Ignores what it cannot remove.
  ~UnstartedRun();
  UnstartedRun(const UnstartedRun&) = delete;
  UnstartedRun& operator=(const UnstartedRun&) = delete;

  // From now on new entries of the folder are this run's. Until then nothing is removed. Call it when the folder is
  // locked (FolderLock), and keep the lock until this object is gone.
  void own() { owned_ = true; }
  // The run keeps everything.
  void begin() { owned_ = false; }

 private:
  std::filesystem::path run_dir_;
  bool existed_;
  std::vector<std::filesystem::path> before_;
  bool owned_ = false;
};

}  // namespace gptmoe
