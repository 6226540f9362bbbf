#pragma once
// The lock that keeps two processes from writing the same output, if it is a file or a folder that appears in one step.
// FolderLock (base/file.h) is the lock for a folder that is filled file by file. The system releases both when a
// process ends, however it ends.
#include <chrono>
#include <filesystem>
#include <string>

#include "base/descriptor.h"
#include "base/file.h"

namespace gptmoe {

// The lock of an output that appears in one step: a file or folder that is renamed into place. It is a file
// PATH.gptmoe-lock, which names the process and which the destructor removes. If a killed process left one, it is taken
// over.
class OutputLock {
 public:
  // Waits up to `patience` for another process, then throws UserError "PATH: another process (PID on HOST) DOING".
  // Throws UserError if the lock's file cannot be made. If the file system has no locks, it locks nothing: the output
  // is still complete, and the last writer wins.
  OutputLock(const std::filesystem::path& path, const std::string& doing,
             std::chrono::milliseconds patience = std::chrono::milliseconds(100));
  ~OutputLock();
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;

 private:
  std::filesystem::path path_;  // of the lock
  Descriptor file_;
};

}  // namespace gptmoe
