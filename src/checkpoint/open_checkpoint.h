#pragma once
// Opens the files of a checkpoint together and verifies them.
#include <fcntl.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/descriptor.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/unfinished.h"
#include "checkpoint/checkpoint_folders.h"
#include "checkpoint/checkpoint_state.h"
#include "distributed/world.h"

namespace gptmoe {

inline constexpr int64_t kFormatVersion = 1;  // StateFile::format_version

// The error for a missing or damaged file of a checkpoint. Any other error says that the file cannot be read; it may
// still be intact.
struct CheckpointDamage : UserError {
  using UserError::UserError;
};

// Returns read(). If that throws CheckpointDamage, throws a UserError with the remedy appended.
template <typename Read>
auto with_damage_remedy(const std::filesystem::path& checkpoint_dir, Read read) {
  try {
    return read();
  } catch (const CheckpointDamage& damage) {
    user_error(damage.what(), "; ", damage_remedy(checkpoint_dir));
  }
}

// Returns open_files(). Calls it again if the run replaced the checkpoint during the call, so that all opened files
// belong to one checkpoint.
template <typename OpenFiles>
auto open_together(const std::filesystem::path& checkpoint_dir, OpenFiles open_files) {
  constexpr int kAttempts = 100;  // saving a checkpoint takes far longer than opening its files
  for (int attempt = 1;; ++attempt) {
    const Descriptor folder(open(checkpoint_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto replaced = [&] {
      if (folder) return !is_at(folder.get(), checkpoint_dir);
      return anything_at(checkpoint_dir) || is_being_replaced(checkpoint_dir);  // it was moved aside for a moment
    };
    try {
      auto opened = open_files();
      if (attempt == kAttempts || !replaced()) return opened;
    } catch (const UserError&) {
      if (attempt == kAttempts || !replaced()) throw;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// Opens a file of a checkpoint. Throws CheckpointDamage if it is missing, UserError if it cannot be read.
FileReader open_checkpoint_file(const std::filesystem::path& path);

// Reads state.json. Throws CheckpointDamage if it is missing or does not match its seal, UserError if it cannot be read
// or has another format version.
StateFile read_state_file(const std::filesystem::path& checkpoint_dir);

// The checksum of a file of the checkpoint according to state.json. Throws UserError if the file was not saved.
const std::string& checksum_in(const StateFile& state, const std::filesystem::path& path);

struct OpenCheckpoint {
  StateFile state;
  std::vector<FileReader> files;
};
// Opens state.json and the files `names`; without `names`, all files that state.json lists. Throws as
// open_checkpoint_file(), read_state_file() and checksum_in() do.
OpenCheckpoint open_checkpoint(const std::filesystem::path& checkpoint_dir,
                               std::optional<std::vector<std::string>> names = {});
inline const std::vector<std::string> kStateAlone;  // the `names` that open no other file

// Reads the whole file. Throws CheckpointDamage if it does not match its checksum in state.json. Calls world->tick()
// after each part, unless `world` is null.
void require_whole(const FileReader& file, const StateFile& state, World* world);
// Calls require_whole() for every file of the checkpoint. Throws as open_checkpoint() and require_whole() do.
void require_intact(const std::filesystem::path& checkpoint_dir);
// Whether require_intact() finds no damage. Throws UserError or Failure naming a file that cannot be read, since that
// file may still be intact.
bool is_intact(const std::filesystem::path& checkpoint_dir);

}  // namespace gptmoe
