#include "train/given_config.h"

#include "base/file.h"
#include "records/run_folder.h"
#include "routing/router_table.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_run(const fs::path& path) {
  user_error(path.string(), ": a run's folder, not a config; give ", (path / kRunConfigFile).string(),
             " (to continue the run, train it with --out ", path.string(), " --resume; to start another from it, with ",
             "--branch ", path.string(), ")");
}

[[noreturn]] void refuse_checkpoint(const fs::path& path, const fs::path& checkpoint) {
  const std::optional<fs::path> run = run_of_checkpoint(checkpoint);
  user_error(path.string(),
             path == checkpoint ? ": a checkpoint, not a config; give " : ": part of a checkpoint, not a config; give ",
             run ? (*run / kRunConfigFile).string() : "a run's config",
             " (to start from the checkpoint, train it with ", "--branch ", checkpoint.string(),
             ", or from its weights alone, with --init-from ", checkpoint.string(), ")");
}

bool is_checkpoint(const fs::path& folder) {
  return file_type_at(folder / kCheckpointStateFile) == fs::file_type::regular;
}

// Throws UserError if the path is a folder or in a checkpoint.
void require_config_file(const fs::path& path) {
  if (file_type_at(path) != fs::file_type::directory) {
    if (is_checkpoint(path.parent_path())) refuse_checkpoint(path, path.parent_path());
    return;
  }
  const fs::path folder = path.has_filename() ? path : path.parent_path();  // without a final slash
  if (is_checkpoint(folder)) refuse_checkpoint(folder, folder);
  if (holds_run(folder)) refuse_run(folder);
  user_error(path.string(), ": a folder, not a config; give a config file (JSON)");
}

}  // namespace

Config load_given_config(const fs::path& path, const std::vector<std::string>& overrides) {
  require_config_file(path);
  return load_config(path, overrides, check_router);
}

}  // namespace gptmoe
