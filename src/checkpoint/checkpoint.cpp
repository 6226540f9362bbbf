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
#include "checkpoint/open_checkpoint.h"
#include "checkpoint/safetensors.h"
#include "records/record_json.h"
#include "records/run_folder.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kConfigFile = "config.json";

// Files of a checkpoint: the name of each and its rows.
template <typename Rows>
using Files = std::vector<std::pair<std::string, Rows>>;

bool with_optimizer(const CheckpointTensors& tensors) {
  const Tensor &m = tensors.m, &v = tensors.v;
  GPTMOE_CHECK(m.present() == v.present());
  if (!m.present()) return false;
  const Partition seconds = tensors.held.common_with(tensors.second_moments);
  GPTMOE_CHECK(m.has_sizes({tensors.held.without(tensors.coded_m.all).count()}));
  GPTMOE_CHECK(v.has_sizes({seconds.without(tensors.coded_v.all).count()}));
  return true;
}

Files<std::vector<TensorSource>> files_to_write(const CheckpointTensors& tensors) {
  Files<std::vector<TensorSource>> files = {{kModelFile, model_sources(tensors)}};
  if (tensors.average.present()) files.emplace_back(kAverageFile, average_sources(tensors));
  if (with_optimizer(tensors)) files.emplace_back(kOptimizerFile, optimizer_sources(tensors));
  return files;
}

Files<std::vector<RowToLoad>> files_to_read(const CheckpointTensors& tensors) {
  Files<std::vector<RowToLoad>> files = {{kModelFile, model_rows(tensors)}};
  if (tensors.average.present()) files.emplace_back(kAverageFile, average_rows(tensors));
  if (with_optimizer(tensors)) files.emplace_back(kOptimizerFile, optimizer_rows(tensors));
  return files;
}

// The sealed text of state.json, with its keys in alphabetical order.
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

// The name of the file that holds `weights`. Throws UserError if the checkpoint has no average.
const char* file_with(const fs::path& checkpoint_dir, const StateFile& state, Weights weights) {
  if (weights == Weights::last) return kModelFile;
  if (std::none_of(state.files.begin(), state.files.end(), [](auto& file) { return file.first == kAverageFile; }))
    user_error(checkpoint_dir.string(), ": has no average of the weights (only runs with train.weight_ema keep one); ",
               "use the last weights, without --weight-ema");
  return kAverageFile;
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

// `others`: the names and contents of the files without tensors.
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

// Copies a file into a folder and flushes the copy to disk.
void add_copy(const FileReader& source, const fs::path& folder) {
  constexpr int64_t kPartBytes = 1 << 20;
  AtomicFile copy(folder / source.path().filename());
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
  const auto [step, files] = with_damage_remedy(checkpoint_dir, [&] {
    return open_together(checkpoint_dir, [&] {
      std::pair<int64_t, std::vector<FileReader>> opened;
      opened.first = read_state_file(checkpoint_dir).state.step;
      for (const fs::path& file : folder_entries(checkpoint_dir)) opened.second.emplace_back(file);
      return opened;
    });
  });
  try {
    NewCheckpoint copy(run_dir, step);
    for (const FileReader& file : files) add_copy(file, copy.path());
    copy.commit();
  } catch (const fs::filesystem_error& error) {
    throw Failure(
        text(run_dir.string(), ": cannot copy ", checkpoint_dir.string(), " there: ", error.code().message()));
  }
}

void verify_checkpoint(const fs::path& checkpoint_dir) {
  with_damage_remedy(checkpoint_dir, [&] { require_intact(checkpoint_dir); });
}

void verify_checkpoint_file(const fs::path& file) {
  const fs::path folder = file.parent_path();
  with_damage_remedy(folder, [&] {
    const StateFile state = open_checkpoint(folder, kStateAlone).state;
    for (const auto& [name, checksum] : state.files)
      if (name == file.filename()) require_whole(open_checkpoint_file(file), state, nullptr);
  });
}

CheckpointState read_checkpoint_state(const fs::path& checkpoint_dir) {
  return with_damage_remedy(checkpoint_dir, [&] { return open_checkpoint(checkpoint_dir, kStateAlone).state.state; });
}

int64_t saved_step(const fs::path& run_dir) {
  const std::optional<HeldCheckpoint> held = hold_latest_checkpoint(run_dir);
  return held ? read_checkpoint_state(held->path).step : -1;
}

namespace {

CheckpointState load_files(const fs::path& checkpoint_dir, const Files<std::vector<RowToLoad>>& expected,
                           const CheckpointTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, rows] : expected) names.push_back(name);
  StateFile state;
  std::vector<SafetensorsFile> files;
  with_damage_remedy(checkpoint_dir, [&] {
    OpenCheckpoint opened = open_checkpoint(checkpoint_dir, names);
    state = std::move(opened.state);
    for (size_t i = 0; i < names.size(); ++i) {
      require_whole(opened.files[i], state, tensors.world);
      check_same_model(files.emplace_back(std::move(opened.files[i])), expected[i].second);
    }
  });
  for (size_t i = 0; i < files.size(); ++i)
    for (const RowToLoad& row : expected[i].second) {
      if (tensors.world) tensors.world->tick();
      for (const RowPart& part : row.parts) files[i].read_part(row.name, part.first, part.elements, tensors.memory);
    }
  return state.state;
}

}  // namespace

CheckpointState load_checkpoint(const fs::path& checkpoint_dir, const CheckpointTensors& tensors) {
  return load_files(checkpoint_dir, files_to_read(tensors), tensors);
}

CheckpointState load_model(const fs::path& checkpoint_dir, const ParamTable& params, const StateTable& state,
                           Memory& memory, Weights weights) {
  const CheckpointTensors tensors{params, state, {}, {}, memory, params.whole()};
  const char* name = kModelFile;
  if (weights != Weights::last)
    with_damage_remedy(checkpoint_dir, [&] {
      name = file_with(checkpoint_dir, open_checkpoint(checkpoint_dir, kStateAlone).state, weights);
    });
  return load_files(checkpoint_dir, {{name, model_rows(tensors)}}, tensors);
}

ModelFile open_model(const fs::path& checkpoint_dir, World* world, Weights weights) {
  return with_damage_remedy(checkpoint_dir, [&]() -> ModelFile {
    const std::string name = file_with(checkpoint_dir, open_checkpoint(checkpoint_dir, kStateAlone).state, weights);
    OpenCheckpoint opened = open_checkpoint(checkpoint_dir, {{name}});
    require_whole(opened.files[0], opened.state, world);
    return {opened.state.state, checksum_in(opened.state, checkpoint_dir / name),
            SafetensorsFile(std::move(opened.files[0]))};
  });
}

std::string model_checksum(const fs::path& checkpoint_dir) {
  return with_damage_remedy(checkpoint_dir, [&] {
    return checksum_in(open_checkpoint(checkpoint_dir, kStateAlone).state, checkpoint_dir / kModelFile);
  });
}

SafetensorsFile open_model_of(const fs::path& checkpoint_dir, const ParamTable& params, const StateTable& state,
                              Weights weights) {
  ModelFile file = open_model(checkpoint_dir, nullptr, weights);
  std::vector<RowToLoad> expected;  // tensors without memory: only their dtypes and shapes are used
  for (const ParamRow& row : params.rows())
    expected.push_back({row.name, row.sizes, {{Tensor(nullptr, DType::f32, {row.count}), 0}}});
  for (const StateRow& row : state.rows())
    if (row.persistent) expected.push_back({row.name, row.sizes, {{Tensor(nullptr, row.dtype, {0}), 0}}});
  check_same_model(file.tensors, expected);
  return std::move(file.tensors);
}

}  // namespace gptmoe
