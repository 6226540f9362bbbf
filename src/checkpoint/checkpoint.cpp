#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/checksum.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/seal.h"
#include "checkpoint/checkpoint_rows.h"
#include "checkpoint/held_checkpoint.h"
#include "checkpoint/intact_checkpoint.h"
#include "checkpoint/safetensors.h"
#include "records/record_json.h"
#include "records/run_folder.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kFormatVersion = 1;
constexpr const char* kConfigFile = "config.json";

// ---- Contents ----------------------------------------------------------------------------------------------------

// The files of a checkpoint that `tensors` is written to or read from.
template <typename Rows>
using Files = std::vector<std::pair<std::string, Rows>>;

bool with_optimizer(const CheckpointTensors& tensors) {
  const Tensor &m = tensors.m, &v = tensors.v;
  GPTMOE_CHECK(m.present() == v.present());
  GPTMOE_CHECK(!m.present() || (m.has_sizes({tensors.held.count()}) && v.has_sizes({tensors.held.count()})));
  return m.present();
}

Files<std::vector<TensorSource>> files_to_write(const CheckpointTensors& tensors) {
  Files<std::vector<TensorSource>> files = {{kModelFile, model_sources(tensors)}};
  if (with_optimizer(tensors)) files.emplace_back(kOptimizerFile, optimizer_sources(tensors));
  return files;
}

Files<std::vector<RowToLoad>> files_to_read(const CheckpointTensors& tensors) {
  Files<std::vector<RowToLoad>> files = {{kModelFile, model_rows(tensors)}};
  if (with_optimizer(tensors)) files.emplace_back(kOptimizerFile, optimizer_rows(tensors));
  return files;
}

// The keys are in alphabetical order.
std::string state_text(const StateFile& file) { return sealed(json(record_json(file)).dump(2)); }

// A config.json that keeps Hugging Face's classes from opening a checkpoint. Without it they would build their default
// model. AutoModel stops at the unknown type, and a named class at a size that is not a number.
std::string refusal_text() {
  const char* const remedy =
      "this is a gptmoe checkpoint; gptmoe export RUN --out DIR writes a folder that can be loaded";
  const nlohmann::ordered_json config = {
      {"model_type", kCheckpointModelType}, {"vocab_size", remedy}, {"hidden_size", remedy}};
  return config.dump(2) + "\n";
}

// ---- Loading errors ----------------------------------------------------------------------------------------------

[[noreturn]] void damaged(const fs::path& file, const std::string& why) {
  user_error(file.string(), ": ", why, "; ", damage_remedy(file.parent_path()));
}

FileReader open_file(const fs::path& path) {
  try {
    return FileReader(path);
  } catch (const UserError& error) {
    if (file_type_at(path) == fs::file_type::regular) throw;  // it cannot be read, but may well be intact
    user_error(error.what(), "; ", damage_remedy(path.parent_path()));
  }
}

StateFile read_state_file(const fs::path& checkpoint_dir) {
  const fs::path path = checkpoint_dir / kCheckpointStateFile;
  const std::string content = open_file(path).content();
  if (seal_of(content) != Seal::intact)
    damaged(path, "does not match its own checksum: it is damaged, cut short or edited");
  const auto state = parse_json<nlohmann::ordered_json>(content, path.string());
  if (const auto version = state.value("format_version", nlohmann::ordered_json()); version != kFormatVersion)
    user_error(path.string(), ": the checkpoint has format version ", version.dump(),
               " and this build of gptmoe reads version ", kFormatVersion, ": update gptmoe");
  return read_record<StateFile>(state, path.string());
}

// The checksum that state.json has for a file of the checkpoint.
const std::string& checksum_in(const StateFile& state, const fs::path& path) {
  const auto saved = std::find_if(state.files.begin(), state.files.end(),
                                  [name = path.filename().string()](auto& file) { return file.first == name; });
  if (saved == state.files.end())
    user_error(path.string(),
               ": was not saved: this checkpoint holds only the model, so training cannot continue from it");
  return saved->second;
}

// Opens a file of a checkpoint that must have this checksum.
FileReader open_whole(const fs::path& path, const std::string& checksum, World* world) {
  FileReader file = open_file(path);
  Checksum found;
  add_to_checksum(found, file, world);
  if (checksum_text(found.value()) != checksum)
    damaged(path, "does not match its checksum in state.json: it is damaged or cut short");
  return file;
}

SafetensorsFile open_verified(const fs::path& checkpoint_dir, const std::string& name, const StateFile& state,
                              World* world) {
  const fs::path path = checkpoint_dir / name;
  return SafetensorsFile(open_whole(path, checksum_in(state, path), world));
}

// Checks that the file holds every tensor of the run in its shape, and no others.
void check_same_model(const SafetensorsFile& file, const std::vector<RowToLoad>& expected) {
  constexpr const char* kRemedy =
      "; the checkpoint belongs to another model: use the config it was saved with (config.json of its run)";
  std::set<std::string> names;
  for (const RowToLoad& row : expected) {
    try {
      for (const RowPart& part : row.parts) file.check(row.name, part.elements.dtype(), row.sizes);
    } catch (const UserError& error) {
      user_error(error.what(), kRemedy);
    }
    names.insert(row.name);
  }
  for (const SafetensorsFile::Entry& entry : file.entries())
    if (!names.contains(entry.name))
      user_error(file.path().string(), ": tensor \"", entry.name, "\": this run's model does not have it", kRemedy);
}

// `others`: the names and contents of files that are not tensors.
void write_files(const fs::path& folder, const Files<std::vector<TensorSource>>& files, Files<std::string> others,
                 const CheckpointState& state) {
  StateFile record{state, kFormatVersion, {}};
  for (const auto& [name, rows] : files) {
    // Hugging Face's loaders require this entry.
    const uint64_t checksum = write_safetensors(folder / name, rows, {{"format", "pt"}});
    record.files.emplace_back(name, checksum_text(checksum));
  }
  others.emplace_back(kConfigFile, refusal_text());
  for (const auto& [name, content] : others) {
    write_text_file(folder / name, content);
    record.files.emplace_back(name, checksum_text(checksum_of(content)));
  }
  write_text_file(folder / kCheckpointStateFile, state_text(record));
}

void write_checkpoint(const fs::path& run_dir, int64_t step, const CheckpointTensors& tensors,
                      const CheckpointState& state) {
  NewCheckpoint checkpoint(run_dir, step);
  write_files(checkpoint.path(), files_to_write(tensors), {}, state);
  checkpoint.commit();
}

// Copies a file into a folder, flushed.
void add_copy(const fs::path& file, const fs::path& folder) {
  constexpr int64_t kPartBytes = 1 << 20;
  const FileReader source(file);
  AtomicFile copy(folder / file.filename());
  std::string part;
  for (int64_t at = 0; at < source.size(); at += std::ssize(part)) {
    part.resize(static_cast<size_t>(std::min(kPartBytes, source.size() - at)));
    source.read(part.data(), std::ssize(part), at);
    copy.write(part);
  }
  copy.commit();
}

}  // namespace

void save_checkpoint(const fs::path& run_dir, int64_t step, const CheckpointTensors& tensors,
                     const CheckpointState& state, int64_t keep) {
  GPTMOE_CHECK(step >= 0 && keep >= 0);
  if (tensors.world && !tensors.world->is_root()) {
    for (const auto& [name, rows] : files_to_write(tensors))
      for (const TensorSource& row : in_file_order(rows)) row.visit([](const void*, int64_t) {});
    return;
  }
  const auto what_is_left = [&]() -> std::string {
    try {
      const std::optional<fs::path> previous = latest_checkpoint(run_dir);
      return previous ? "the previous checkpoint stays: " + previous->string() : "and there is no earlier checkpoint";
    } catch (const UserError& error) {
      return text("and whether there is an earlier checkpoint is unknown: ", error.what());
    }
  };
  const auto fail = [&](const std::string& why) {
    throw Failure(text(why, "; step ", step, " is not saved, ", what_is_left()));
  };
  try {
    write_checkpoint(run_dir, step, tensors, state);
  } catch (const DeviceError&) {
    throw;  // the device failed in the step, not the disk
  } catch (const Failure& failure) {
    fail(failure.what());
  } catch (const UserError& error) {  // the system cannot tell what is in the folder
    fail(error.what());
  } catch (const fs::filesystem_error& error) {
    fail(error.path1().string() + ": " + error.code().message());
  }
  remove_old_checkpoints(run_dir, step, keep);
}

void write_model_checkpoint(const fs::path& folder, const std::vector<TensorSource>& rows, const CheckpointState& state,
                            const std::vector<std::pair<std::string, std::string>>& others) {
  write_files(folder, {{kModelFile, rows}}, others, state);
}

void copy_checkpoint(const fs::path& checkpoint_dir, const fs::path& run_dir) {
  const int64_t step = read_checkpoint_state(checkpoint_dir).step;
  try {
    NewCheckpoint copy(run_dir, step);
    for (const fs::path& file : folder_entries(checkpoint_dir)) add_copy(file, copy.path());
    copy.commit();
  } catch (const fs::filesystem_error& error) {
    throw Failure(
        text(run_dir.string(), ": cannot copy ", checkpoint_dir.string(), " there: ", error.code().message()));
  }
}

bool is_intact(const fs::path& checkpoint_dir) {
  const fs::path path = checkpoint_dir / kCheckpointStateFile;
  const std::string content = read_text_file(path);
  if (seal_of(content) != Seal::intact) return false;
  StateFile state;
  try {
    state = read_record<StateFile>(parse_json<nlohmann::ordered_json>(content, path.string()), path.string());
  } catch (const UserError&) {
    return false;
  }
  return std::all_of(state.files.begin(), state.files.end(), [&](const auto& file) {
    if (!anything_at(checkpoint_dir / file.first)) return false;
    Checksum found;
    add_to_checksum(found, FileReader(checkpoint_dir / file.first), nullptr);
    return checksum_text(found.value()) == file.second;
  });
}

void verify_checkpoint(const fs::path& checkpoint_dir) {
  const StateFile state = read_state_file(checkpoint_dir);
  for (const auto& [name, checksum] : state.files) open_whole(checkpoint_dir / name, checksum, nullptr);
}

void verify_checkpoint_file(const fs::path& file) {
  const StateFile state = read_state_file(file.parent_path());
  for (const auto& [name, checksum] : state.files)
    if (name == file.filename()) open_whole(file, checksum, nullptr);
}

CheckpointState read_checkpoint_state(const fs::path& checkpoint_dir) { return read_state_file(checkpoint_dir).state; }

int64_t saved_step(const fs::path& run_dir) {
  if (!latest_checkpoint(run_dir)) return -1;
  return read_checkpoint_state(hold_checkpoint(run_dir).path).step;
}

CheckpointState load_checkpoint(const fs::path& checkpoint_dir, const CheckpointTensors& tensors) {
  const StateFile state = read_state_file(checkpoint_dir);
  const auto expected = files_to_read(tensors);
  std::vector<SafetensorsFile> files;
  for (const auto& [name, rows] : expected) {
    files.push_back(open_verified(checkpoint_dir, name, state, tensors.world));
    check_same_model(files.back(), rows);
  }
  for (size_t i = 0; i < files.size(); ++i)
    for (const RowToLoad& row : expected[i].second) {
      if (tensors.world) tensors.world->tick();
      for (const RowPart& part : row.parts) files[i].read_part(row.name, part.first, part.elements, tensors.memory);
    }
  return state.state;
}

CheckpointState load_model(const fs::path& checkpoint_dir, const ParamTable& params, const StateTable& state,
                           Memory& memory) {
  return load_checkpoint(checkpoint_dir, {params, state, {}, {}, memory, params.whole()});
}

void add_to_checksum(Checksum& checksum, const FileReader& file, World* world) {
  constexpr int64_t kPart = int64_t{4} << 20;
  std::vector<char> part(static_cast<size_t>(std::min(kPart, file.size())));
  for (int64_t at = 0; at < file.size(); at += kPart) {
    const int64_t bytes = std::min(kPart, file.size() - at);
    file.read(part.data(), bytes, at);
    checksum.update(part.data(), bytes);
    if (world) world->tick();
  }
}

ModelFile open_model(const fs::path& checkpoint_dir, World* world) {
  const StateFile state = read_state_file(checkpoint_dir);
  return {state.state, checksum_in(state, checkpoint_dir / kModelFile),
          open_verified(checkpoint_dir, kModelFile, state, world)};
}

std::string model_checksum(const fs::path& checkpoint_dir) {
  return checksum_in(read_state_file(checkpoint_dir), checkpoint_dir / kModelFile);
}

SafetensorsFile open_model_of(const fs::path& checkpoint_dir, const ParamTable& params, const StateTable& state) {
  ModelFile file = open_model(checkpoint_dir);
  std::vector<RowToLoad> expected;  // tensors without memory: only their dtypes and shapes count
  for (const ParamRow& row : params.rows())
    expected.push_back({row.name, row.sizes, {{Tensor(nullptr, DType::f32, {row.count}), 0}}});
  for (const StateRow& row : state.rows())
    if (row.persistent) expected.push_back({row.name, row.sizes, {{Tensor(nullptr, row.dtype, {0}), 0}}});
  check_same_model(file.tensors, expected);
  return std::move(file.tensors);
}

}  // namespace gptmoe
