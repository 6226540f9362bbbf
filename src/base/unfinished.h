#pragma once
// Files and folders that are being written have a temporary name, PATH.gptmoe-tmp-PID-NUMBER, and are renamed when
// complete. Their writer holds a lock on them. So two writers never write to the same file, and a temporary file that
// is not locked was left by a killed writer.
#include <filesystem>
#include <string>

#include "base/descriptor.h"

namespace gptmoe {

struct Unfinished {
  std::filesystem::path path;
  Descriptor fd;  // open for writing if `path` is a file. Closing it releases the lock, so rename first
};

// Makes a new file or folder that is to be renamed to `path`, and removes the leftovers of killed writers of `path`.
// Never opens an existing file and never follows a link. Throws Failure "PATH: cannot create: REASON".
Unfinished new_unfinished_file(const std::filesystem::path& path);
Unfinished new_unfinished_folder(const std::filesystem::path& path);

// Whether `path` is the file or folder that is open as `fd`. False if that file or folder, or a folder above it, was
// removed, moved or replaced.
bool is_at(int fd, const std::filesystem::path& path);

// Whether a file or folder of this name is unfinished, or left by a killed writer.
bool is_unfinished(const std::string& name);

// Removes the leftovers of killed writers in the folder, except those that cannot be removed.
void remove_leftovers_in(const std::filesystem::path& folder);

}  // namespace gptmoe
