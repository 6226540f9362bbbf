#include "checkpoint/open_checkpoint.h"

#include <algorithm>

#include "base/checksum.h"
#include "base/json.h"
#include "base/seal.h"
#include "records/record_json.h"
#include "records/run_folder.h"

namespace gptmoe {

namespace fs = std::filesystem;

FileReader open_checkpoint_file(const fs::path& path) {
  try {
    return FileReader(path);
  } catch (const UserError& error) {
    if (file_type_at(path) == fs::file_type::regular) throw;
    throw CheckpointDamage(error.what());
  }
}

StateFile read_state_file(const fs::path& checkpoint_dir) {
  const fs::path path = checkpoint_dir / kCheckpointStateFile;
  const std::string content = open_checkpoint_file(path).content();
  if (seal_of(content) != Seal::intact)
    throw CheckpointDamage(
        text(path.string(), ": does not match its own checksum: it is damaged, cut short or edited"));
  const auto state = parse_json<nlohmann::ordered_json>(content, path.string());
  if (const auto version = state.value("format_version", nlohmann::ordered_json()); version != kFormatVersion)
    user_error(path.string(), ": the checkpoint has format version ", version.dump(),
               " and this build of gptmoe reads version ", kFormatVersion, ": update gptmoe");
  return read_record<StateFile>(state, path.string());
}

const std::string& checksum_in(const StateFile& state, const fs::path& path) {
  const auto saved = std::find_if(state.files.begin(), state.files.end(),
                                  [name = path.filename().string()](auto& file) { return file.first == name; });
  if (saved == state.files.end())
    user_error(path.string(),
               ": was not saved: this checkpoint holds only the model, so training cannot continue from it");
  return saved->second;
}

OpenCheckpoint open_checkpoint(const fs::path& checkpoint_dir, std::optional<std::vector<std::string>> names) {
  return open_together(checkpoint_dir, [&] {
    OpenCheckpoint opened{read_state_file(checkpoint_dir), {}};
    std::vector<std::string> wanted = names.value_or(std::vector<std::string>());
    for (size_t i = 0; !names && i < opened.state.files.size(); ++i) wanted.push_back(opened.state.files[i].first);
    for (const std::string& name : wanted) {
      checksum_in(opened.state, checkpoint_dir / name);  // throws if the file was not saved
      opened.files.push_back(open_checkpoint_file(checkpoint_dir / name));
    }
    return opened;
  });
}

void require_whole(const FileReader& file, const StateFile& state, World* world) {
  Checksum found;
  add_to_checksum(found, file, [&] {
    if (world) world->tick();
  });
  if (checksum_text(found.value()) != checksum_in(state, file.path()))
    throw CheckpointDamage(
        text(file.path().string(), ": does not match its checksum in state.json: it is damaged or cut short"));
}

void require_intact(const fs::path& checkpoint_dir) {
  const OpenCheckpoint opened = open_checkpoint(checkpoint_dir);
  for (const FileReader& file : opened.files) require_whole(file, opened.state, nullptr);
}

bool is_intact(const fs::path& checkpoint_dir) {
  try {
    require_intact(checkpoint_dir);
    return true;
  } catch (const CheckpointDamage&) {
    return false;
  }
}

}  // namespace gptmoe
