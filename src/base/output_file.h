#pragma once
#include <optional>
#include <string>

#include "base/file.h"

namespace gptmoe {

// Opens `file` at `path` before a long job, so that a path that cannot be written is refused before the job starts.
// Does nothing if `path` is empty. Throws UserError naming `option` if `path` is a folder, or if the folder that would
// hold it does not exist.
void open_output(std::optional<AtomicFile>& file, const std::string& option, const std::string& path);

}  // namespace gptmoe
