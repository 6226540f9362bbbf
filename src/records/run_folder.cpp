#include "records/run_folder.h"

#include "base/check.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/read_json.h"
#include "records/metrics_file.h"
#include "records/run_history.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// RUN, if the path is RUN/checkpoints/NAME and leads to the checkpoint; else empty.
fs::path run_in(const fs::path& path, const fs::path& checkpoint) {
  fs::path plain = path.lexically_normal();
  if (!plain.has_filename()) plain = plain.parent_path();
  const fs::path folder = plain.parent_path();
  std::error_code error;  // ignored: a path that leads nowhere is not the checkpoint's
  if (folder.filename() != kCheckpointsFolder || !fs::equivalent(plain, checkpoint, error)) return {};
  return folder.has_parent_path() ? folder.parent_path() : fs::path(".");
}

}  // namespace

bool holds_run(const fs::path& folder) {
  if (!anything_at(folder)) return false;  // throws if it is a broken link, for example to an unmounted disk
  if (!anything_at(folder / kRunConfigFile) || anything_at(folder / kCheckpointStateFile)) return false;
  if (anything_at(folder / kMetricsFile) || anything_at(folder / kHistoryFile)) return true;
  try {
    const auto config = read_json(folder / kRunConfigFile, Comments::allowed);
    return config.contains("train") && config["train"].is_object();
  } catch (const UserError&) {
    return true;
  }
}

bool is_checkpoint(const fs::path& folder) {
  const fs::path state = folder / kCheckpointStateFile;
  const fs::file_type type = file_type_at(state);
  if (type != fs::file_type::regular && type != fs::file_type::not_found)
    user_error(state.string(), ": not a regular file");
  return type == fs::file_type::regular;
}

std::optional<fs::path> run_of_checkpoint(const fs::path& checkpoint) {
  std::error_code error;  // ignored: without a canonical form, the path is empty
  // Tries the path as given first, since RUN/checkpoints may be a link to a different disk.
  for (const fs::path& path : {checkpoint, fs::canonical(checkpoint, error)})
    if (const fs::path run = run_in(path, checkpoint); !run.empty() && holds_run(run)) return run;
  return std::nullopt;
}

}  // namespace gptmoe
