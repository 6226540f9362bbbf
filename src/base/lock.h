#pragma once
// The locks that keep two processes from writing the same output. The system releases them when a process ends, however
// it ends.
#include <chrono>
#include <filesystem>
#include <string>

#include "base/descriptor.h"

namespace gptmoe {

// The lock of a folder that a process fills: a run, a comparison, the shards of a job. While it exists, no other
// process can lock the folder. The system releases it when the process ends. Take it before the first write.
class FolderLock {
 public:
  // Locks an existing folder and removes what killed writers left in it (base/unfinished.h). `doing` says what the
  // holder does and what others can do: "is training in this run directory; choose another --out". Throws UserError
  // "FOLDER: another process (PID) DOING" if it is locked, and UserError naming the system's reason if the folder
  // cannot be opened or the file system has no locks. Waits a moment first, since folder_locked() holds a lock for
  // microseconds.
  FolderLock(const std::filesystem::path& folder, const std::string& doing);

 private:
  Descriptor fd_;
};

// Whether a FolderLock of the folder exists, in this process or another one. Throws UserError naming the folder if it
// cannot be opened.
bool folder_locked(const std::filesystem::path& folder);

// The lock of an output that appears in one step: a file or folder that is renamed into place. The lock is a file
// PATH.gptmoe-lock, which names the process and which the destructor removes. A lock file that a killed process left is
// taken over.
class OutputLock {
 public:
  // Waits up to `patience` for another process, then throws UserError "PATH: another process (PID on HOST) DOING".
  // Throws UserError if the lock's file cannot be made. If the file system has no locks, nothing is locked: the output
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
