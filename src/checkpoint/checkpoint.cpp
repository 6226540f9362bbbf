#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <set>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/read_json.h"
#include "checkpoint/checkpoint_rows.h"
#include "checkpoint/safetensors.h"
#include "records/record_json.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kFormatVersion = 1;
constexpr const char* kFolder = "checkpoints";
constexpr const char* kLatestFile = "LATEST";
constexpr const char* kStateFile = "state.json";
constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kConfigFile = "config.json";
constexpr const char* kUnfinished = ".tmp";
constexpr const char* kReplaced = ".old";

// ---- Folders -----------------------------------------------------------------------------------------------------

std::string step_name(int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step_%08lld", static_cast<long long>(step));
  return name;
}

// The step of "step_NNNNNNNN" + suffix; -1 for any other name.
int64_t step_of(const std::string& name, const std::string& suffix = "") {
  int64_t step = -1;
  const char* digits = name.data() + std::min<size_t>(5, name.size());
  if (std::from_chars(digits, name.data() + name.size(), step).ec != std::errc() || step < 0) return -1;
  return name == step_name(step) + suffix ? step : -1;
}

// state.json is written last, so a folder that holds it is complete.
bool is_checkpoint(const fs::path& folder) { return file_type_at(folder / kStateFile) == fs::file_type::regular; }

// None if there is no such folder. Throws UserError naming the folder if the system cannot read it.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  if (file_type_at(folder) == fs::file_type::not_found) return entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    entries.push_back(it->path());
  if (error && !is_absence(error)) user_error(folder.string(), ": cannot read the folder: ", error.message());
  return entries;
}

// Saving a step again first moves its old folder aside. If a crash left only that folder, it counts as the step's.
std::vector<std::pair<int64_t, fs::path>> checkpoints_in(const fs::path& folder) {
  std::vector<std::pair<int64_t, fs::path>> found;
  for (const fs::path& entry : entries_of(folder)) {
    const std::string name = entry.filename().string();
    int64_t step = step_of(name);
    if (step < 0 && (step = step_of(name, kReplaced)) >= 0 && is_checkpoint(folder / step_name(step))) continue;
    if (step >= 0 && is_checkpoint(entry)) found.emplace_back(step, entry);
  }
  std::sort(found.begin(), found.end());
  return found;
}

// Removes a folder so that a crash cannot leave part of it looking like a checkpoint. Ignores failures, since one
// checkpoint too many must not end a run; the next save tries again.
void discard(const fs::path& folder) {
  std::error_code ignored;
  fs::path doomed = folder;
  if (folder.extension() != kUnfinished) {
    doomed += kUnfinished;
    fs::remove_all(doomed, ignored);
    fs::rename(folder, doomed, ignored);
  }
  fs::remove_all(doomed, ignored);
}

void remove_old_checkpoints(const fs::path& folder, int64_t step, int64_t keep) try {
  for (const fs::path& entry : entries_of(folder)) {
    const std::string name = entry.filename().string();
    const int64_t replaced = step_of(name, kReplaced);
    if (step_of(name, kUnfinished) >= 0 || step_of(name, std::string(kReplaced) + kUnfinished) >= 0 ||
        (replaced >= 0 && is_checkpoint(folder / step_name(replaced))))
      discard(entry);
  }
  auto saved = checkpoints_in(folder);
  std::erase_if(saved, [&](const auto& checkpoint) { return checkpoint.first > step; });
  const auto count = static_cast<int64_t>(saved.size());
  for (int64_t i = 0; keep > 0 && i < count - keep; ++i) discard(saved[static_cast<size_t>(i)].second);
} catch (const UserError&) {
  // A folder that cannot be read is no reason to end the run: the step is saved, and the next save tries again.
}

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

// An object's text with its own checksum as the last key, so that any damage to the text shows:
// sealed(t.substr(0, t.size() - seal)) == t. `body` ends before the newline and brace that close the object.
std::string sealed(const std::string& body) {
  return body + ",\n  \"checksum\": \"" + checksum_text(checksum_of(body)) + "\"\n}\n";
}

std::string state_text(const StateFile& file) {
  std::string body = json(record_json(file)).dump(2);  // its keys are in alphabetical order
  body.resize(body.size() - 2);
  return sealed(body);
}

// A config.json that keeps Hugging Face's classes from opening a checkpoint. Without it they would build their default
// model. AutoModel stops at the unknown type, and a named class at a size that is not a number.
std::string refusal_text() {
  const char* const remedy = "this is a checkpoint of gptmoe; gptmoe export RUN --out DIR writes a folder to load";
  const nlohmann::ordered_json config = {
      {"model_type", "gptmoe_checkpoint"}, {"vocab_size", remedy}, {"hidden_size", remedy}};
  return config.dump(2) + "\n";
}

// ---- Errors of loading -------------------------------------------------------------------------------------------

std::string damage_remedy(const fs::path& checkpoint_dir) {
  fs::path self = fs::absolute(checkpoint_dir).lexically_normal();
  if (!self.has_filename()) self = self.parent_path();
  const std::string name = self.filename().string();
  const int64_t own_step = std::max(step_of(name), step_of(name, kReplaced));
  std::string remedy = "there is no earlier checkpoint: start the run again";
  try {
    for (const auto& [step, path] : checkpoints_in(self.parent_path()))
      if (step < own_step) remedy = "remove " + self.string() + " to use the earlier " + path.filename().string();
  } catch (const UserError& error) {
    return text("whether there is an earlier checkpoint is unknown: ", error.what());
  }
  return remedy;
}

[[noreturn]] void damaged(const fs::path& file, const std::string& why) {
  user_error(file.string(), ": ", why, "; ", damage_remedy(file.parent_path()));
}

FileReader open_file(const fs::path& path) {
  try {
    return FileReader(path);
  } catch (const UserError& error) {
    user_error(error.what(), "; ", damage_remedy(path.parent_path()));
  }
}

StateFile read_state_file(const fs::path& checkpoint_dir) {
  const fs::path path = checkpoint_dir / kStateFile;
  const std::string content = open_file(path).content();
  static const size_t kSealBytes = sealed("").size();
  if (content.size() < kSealBytes || sealed(content.substr(0, content.size() - kSealBytes)) != content)
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

// Removes the folder unless it was renamed.
struct UnfinishedFolder {
  fs::path path;
  ~UnfinishedFolder() { discard(path); }
};

void write_files(const fs::path& folder, const Files<std::vector<TensorSource>>& files, const CheckpointState& state) {
  StateFile record{state, kFormatVersion, {}};
  for (const auto& [name, rows] : files) {
    // Hugging Face's loaders require this entry.
    const uint64_t checksum = write_safetensors(folder / name, rows, {{"format", "pt"}});
    record.files.emplace_back(name, checksum_text(checksum));
  }
  const std::string refusal = refusal_text();
  write_text_file(folder / kConfigFile, refusal);
  record.files.emplace_back(kConfigFile, checksum_text(checksum_of(refusal)));
  write_text_file(folder / kStateFile, state_text(record));
}

void write_checkpoint(const fs::path& folder, int64_t step, const CheckpointTensors& tensors,
                      const CheckpointState& state) {
  const fs::path final_path = folder / step_name(step), replaced = final_path.string() + kReplaced;
  fs::create_directories(folder);
  sync_directory(folder.parent_path());
  const UnfinishedFolder unfinished{final_path.string() + kUnfinished};
  fs::remove_all(unfinished.path);
  fs::create_directory(unfinished.path);

  write_files(unfinished.path, files_to_write(tensors), state);
  if (is_checkpoint(final_path)) {
    fs::remove_all(replaced);
    fs::rename(final_path, replaced);
  }
  fs::remove_all(final_path);
  fs::rename(unfinished.path, final_path);
  sync_directory(folder);
  write_text_file(folder / kLatestFile, step_name(step) + "\n");
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
  const fs::path folder = run_dir / kFolder;
  const auto what_is_left = [&]() -> std::string {
    try {
      const std::optional<fs::path> previous = latest_checkpoint(run_dir);
      return previous ? "the previous checkpoint is intact: " + previous->string()
                      : "and there is no earlier checkpoint";
    } catch (const UserError& error) {
      return text("and whether there is an earlier checkpoint is unknown: ", error.what());
    }
  };
  const auto fail = [&](const std::string& why) {
    throw Failure(text(why, "; step ", step, " is not saved, ", what_is_left()));
  };
  try {
    write_checkpoint(folder, step, tensors, state);
  } catch (const DeviceError&) {
    throw;  // the device failed in the step, not the disk
  } catch (const Failure& failure) {
    fail(failure.what());
  } catch (const UserError& error) {  // the system cannot tell what is in the folder
    fail(error.what());
  } catch (const fs::filesystem_error& error) {
    fail(error.path1().string() + ": " + error.code().message());
  }
  remove_old_checkpoints(folder, step, keep);
}

void write_model_checkpoint(const fs::path& folder, const std::vector<TensorSource>& rows,
                            const CheckpointState& state) {
  write_files(folder, {{kModelFile, rows}}, state);
}

void copy_checkpoint(const fs::path& checkpoint_dir, const fs::path& run_dir) {
  const fs::path folder = run_dir / kFolder, copy = folder / step_name(read_checkpoint_state(checkpoint_dir).step);
  try {
    fs::create_directories(folder);
    const UnfinishedFolder unfinished{copy.string() + kUnfinished};
    fs::remove_all(unfinished.path);
    fs::create_directory(unfinished.path);
    for (const fs::path& file : entries_of(checkpoint_dir)) {
      fs::copy_file(file, unfinished.path / file.filename());
      sync_file(unfinished.path / file.filename());
    }
    fs::remove_all(copy);
    fs::rename(unfinished.path, copy);
    sync_directory(folder);
    write_text_file(folder / kLatestFile, copy.filename().string() + "\n");
  } catch (const fs::filesystem_error& error) {
    throw Failure(text(copy.string(), ": cannot copy the checkpoint: ", error.code().message()));
  }
}

std::vector<fs::path> list_checkpoints(const fs::path& run_dir) {
  std::vector<fs::path> paths;
  for (auto& [step, path] : checkpoints_in(run_dir / kFolder)) paths.push_back(std::move(path));
  return paths;
}

std::optional<fs::path> latest_checkpoint(const fs::path& run_dir) {
  const fs::path folder = run_dir / kFolder, latest = folder / kLatestFile;
  if (file_type_at(folder) == fs::file_type::not_found) return std::nullopt;
  if (file_type_at(latest) == fs::file_type::regular) {
    std::string name = read_text_file(latest);
    while (!name.empty() && name.back() == '\n') name.pop_back();
    if (step_of(name) >= 0 && is_checkpoint(folder / name)) return folder / name;
  }
  const std::vector<fs::path> all = list_checkpoints(run_dir);
  return all.empty() ? std::nullopt : std::optional(all.back());
}

fs::path resolve_checkpoint(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) user_error(path.string(), ": ", error ? error.message() : "no such file or folder");
  if (is_checkpoint(path)) return path;
  if (const std::optional<fs::path> latest = latest_checkpoint(path)) return *latest;
  if (fs::is_directory(path / kFolder, error)) user_error(path.string(), ": this run has no checkpoint yet");
  user_error(path.string(),
             ": neither a run's folder (which holds checkpoints/) nor a checkpoint (which holds state.json)");
}

void verify_checkpoint(const fs::path& checkpoint_dir) {
  const StateFile state = read_state_file(checkpoint_dir);
  for (const auto& [name, checksum] : state.files) open_whole(checkpoint_dir / name, checksum, nullptr);
}

CheckpointState read_checkpoint_state(const fs::path& checkpoint_dir) { return read_state_file(checkpoint_dir).state; }

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
