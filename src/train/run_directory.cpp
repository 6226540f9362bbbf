#include "train/run_directory.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <initializer_list>
#include <optional>

#include "base/folder.h"
#include "base/printable.h"
#include "base/read_json.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/held_checkpoint.h"
#include "records/metrics_file.h"
#include "records/run_folder.h"
#include "train/metrics.h"
#include "train/provenance.h"
#include "train/run_history.h"

namespace gptmoe {
namespace {

using nlohmann::ordered_json;

std::filesystem::path config_path(const std::filesystem::path& run_dir) { return run_dir / kRunConfigFile; }

bool starts_with_any(const std::string& path, std::initializer_list<const char*> starts) {
  return std::any_of(starts.begin(), starts.end(), [&](const char* start) { return path.starts_with(start); });
}

// Whether a key has no effect on what a step computes. `path` is that of flattened JSON.
bool is_free(const std::string& path) {
  return starts_with_any(path, {"/train/eval_every", "/train/eval_tokens", "/train/tasks/", "/train/cuda_graphs",
                                "/checkpoint/", "/log/", "/distributed/", "/kernels/", "/device", "/data/tokenizer"});
}

// Whether a key may be changed in the course of a run if the user asks for it.
bool may_change(const std::string& path) {
  return starts_with_any(
      path, {"/train/steps", "/train/micro_batch_size", "/train/skip_spikes", "/schedule/", "/optimizer/learning_rate",
             "/data/train", "/data/val", "/data/document_mask", "/data/end_of_text"});
}

struct Difference {
  std::string path;  // of flattened JSON
  ordered_json was, is;

  // "model.hidden_size = 64"
  std::string with(const ordered_json& value) const { return text(dotted(path), " = ", value.dump()); }
};

// Values by path. A list of sources or of groups is one value, since the paths inside it depend on its length.
ordered_json by_path(const ordered_json& config) {
  ordered_json rest = config, whole = ordered_json::object();
  for (const char* path : {"/data/train", "/data/val", "/train/tasks/files", "/optimizer/groups"}) {
    const ordered_json::json_pointer pointer(path);
    if (!rest.contains(pointer)) continue;
    whole[path] = rest[pointer];
    rest[pointer.parent_pointer()].erase(pointer.back());
  }
  ordered_json values = rest.flatten();
  for (const auto& [path, value] : whole.items()) values[path] = value;
  return values;
}

std::vector<Difference> differences(const ordered_json& was, const ordered_json& is) {
  const ordered_json before = by_path(was), now = by_path(is);
  const auto value = [](const ordered_json& flat, const std::string& path) {
    return flat.contains(path) ? flat[path] : ordered_json();
  };
  std::vector<Difference> found;
  for (const auto& [path, ignored] : now.items())
    if (value(before, path) != now[path]) found.push_back({path, value(before, path), now[path]});
  for (const auto& [path, ignored] : before.items())
    if (!now.contains(path)) found.push_back({path, before[path], {}});
  return found;
}

std::vector<Difference> differences(const Config& was, const Config& is) {
  return differences(to_json(was), to_json(is));
}

Config with_micro_batch_of(const Config& run, Config config) {
  if (config.train.auto_micro_batch()) config.train.micro_batch_size = run.train.micro_batch_size;
  return config;
}

struct LatestState {
  std::filesystem::path checkpoint;
  CheckpointState state;

  Config config() const { return parse_config(state.config, (checkpoint / kCheckpointStateFile).string()); }
};

std::optional<LatestState> latest_state(const std::filesystem::path& run_dir) {
  const std::optional<HeldCheckpoint> held = hold_latest_checkpoint(run_dir);  // the run may be training
  if (!held) return std::nullopt;
  return LatestState{held->path, read_checkpoint_state(held->path)};
}

// The first change of a key in history.json; null if the key never changed.
const ConfigChange* first_change(const RunHistory& record, const std::string& path) {
  for (const HistoryEntry& entry : record.history)
    for (const auto& [key, change] : entry.changes)
      if (key == dotted(path)) return &change;
  return nullptr;
}

bool is_recorded(const RunHistory& record, int64_t from_step, const Difference& difference) {
  for (const HistoryEntry& entry : record.history)
    for (const auto& [key, change] : entry.changes)
      if (entry.from_step >= from_step && key == dotted(difference.path) && *change.is == nlohmann::json(difference.is))
        return true;
  return false;
}

[[noreturn]] void refuse_edited(const std::filesystem::path& run_dir, const LatestState& saved, const Difference& d) {
  user_error(config_path(run_dir).string(), ": has ", d.with(d.is), ", but ", saved.checkpoint.string(),
             " was trained with ", d.was.dump(),
             ": the file was edited, or the checkpoint is another run's; restore the file",
             may_change(d.path) ? text(", and change the run with --set ", dotted(d.path), "=...") : "");
}

bool is_set(const std::vector<std::string>& set, const std::string& path) {
  return std::any_of(set.begin(), set.end(), [key = dotted(path)](const std::string& given) {
    return key == given || key.starts_with(given + ".") || given.starts_with(key + ".");
  });
}

// Copies into the folder `out` what a branch from `checkpoint` needs, except its config.
void fill_branch(const std::filesystem::path& checkpoint, const std::filesystem::path& out, HistoryEntry entry) {
  copy_checkpoint(checkpoint, out);
  if (const auto parent = run_of_checkpoint(checkpoint)) {
    keep_tokenizer(out, read_tokenizer_files(*parent));
    for (const char* file : {kMetricsFile, "provenance.json", kHistoryFile, kChoicesFile})
      if (anything_at(*parent / file)) write_text_file(out / file, read_text_file(*parent / file));
  }
  const RunHistory record = read_history(out);
  if (const HistoryEntry* data = entry_at(record, entry.from_step)) {
    entry.folder = data->folder;
    entry.train = data->train;
    entry.val = data->val;
    entry.tokenizer = data->tokenizer;
  }
  record_history(out, std::move(entry));
}

}  // namespace

Config run_config(const std::filesystem::path& run_dir) {
  if (!holds_run(run_dir)) user_error(run_dir.string(), ": holds no run (no config.json); pass a run directory");
  return load_config(config_path(run_dir));
}

void require_no_lost_run(const std::filesystem::path& run_dir) {
  if (anything_at(config_path(run_dir))) return;
  for (const char* part : {kMetricsFile, kHistoryFile, kCheckpointsFolder})
    if (anything_at(run_dir / part))
      user_error(run_dir.string(), ": holds a run's ", part,
                 " but no config.json; restore config.json to continue that run, or choose another --out");
}

void start_run_directory(UnstartedRun& run, const Config& config, const TokenizerCopy& tokenizer) {
  run.claim();
  require_same_tokenizer(run.dir(), tokenizer);
  write_run_config(run.dir(), config);
  keep_tokenizer(run.dir(), tokenizer);
}

void require_summed_losses(const std::filesystem::path& run_dir) {
  const std::filesystem::path path = config_path(run_dir);
  const auto model = read_json(path, Comments::allowed).value("model", nlohmann::json::object());
  const int64_t layers = run_config(run_dir).model.moe_layers();
  if (model.contains("balance_scope") || layers <= 1) return;
  for (const char* key : {"router_aux_loss_coef", "router_z_loss_coef"})
    if (const double was = model.value(key, 0.0); was != 0)
      user_error(run_dir.string(), ": the run began when model.", key, " was divided by the number of MoE layers, ",
                 layers, ", and cannot be continued or compared; model.", key, " = ", was / static_cast<double>(layers),
                 " gives a new run the same loss");
}

namespace {

// Does the work of resumed_config(). `remedy` says what the user can do about a difference.
Config continued_config(const std::filesystem::path& run_dir, const Config& given, const std::vector<std::string>& set,
                        const std::function<std::string(const Difference&)>& remedy) {
  require_no_lost_run(run_dir);
  if (!holds_run(run_dir))
    user_error(run_dir.string(), ": nothing to resume: this folder holds no run; omit --resume to start one");
  require_summed_losses(run_dir);
  const Config stored = run_config(run_dir);
  const RunHistory record = read_history(run_dir);
  const std::optional<LatestState> saved = latest_state(run_dir);
  if (saved)
    for (const Difference& d : differences(saved->config(), stored))
      if (!is_free(d.path) && !is_recorded(record, saved->state.step, d)) refuse_edited(run_dir, *saved, d);
  ordered_json resumed = to_json(stored);
  for (const Difference& d : differences(stored, with_micro_batch_of(stored, given))) {
    // A change of the mask also changes end_of_text, which has the tokenizer's id.
    const bool asked = is_set(set, d.path) || (d.path == "/data/end_of_text" && is_set(set, "/data/document_mask") &&
                                               stored.data.document_mask != given.data.document_mask);
    if (is_free(d.path) || (asked && may_change(d.path))) {
      resumed[ordered_json::json_pointer(d.path)] = d.is;
    } else if (const ConfigChange* change = first_change(record, d.path);
               asked || !change || *change->was != nlohmann::json(d.is)) {
      user_error(run_dir.string(), ": the run has ", d.with(d.was), ", now it is ", d.is.dump(), "; ", remedy(d));
    }
  }
  const Config config = parse_config(nlohmann::json(resumed), run_dir.string());
  if (saved && config.train.steps < saved->state.step)
    user_error(run_dir.string(), ": train.steps = ", config.train.steps, ", but the run has done ", saved->state.step,
               " steps; give at least that many");
  return config;
}

}  // namespace

Config resumed_config(const std::filesystem::path& run_dir, const Config& given, const std::vector<std::string>& set) {
  return continued_config(run_dir, given, set, [](const Difference& d) {
    return may_change(d.path)
               ? text("to change it for the rest of the run, add --set ", dotted(d.path), "=", d.is.dump())
               : std::string("resume with the original value, or start a new run with another --out");
  });
}

// Compares the files as they are, so that configs of other versions need not be parsed.
void require_unedited_config(const std::filesystem::path& run_dir) {
  const std::optional<LatestState> saved = latest_state(run_dir);
  if (!saved) return;
  // Reads the config before the history: a resume may change both files meanwhile, and it writes the history first.
  const auto stored = read_json<ordered_json>(config_path(run_dir), Comments::allowed);
  const RunHistory record = read_history(run_dir);
  for (const Difference& d : differences(ordered_json(*saved->state.config), stored))
    if (saved->state.config->contains(nlohmann::json::json_pointer(d.path)) &&
        !is_recorded(record, saved->state.step, d))
      refuse_edited(run_dir, *saved, d);
}

std::optional<SavedRow> saved_row(const std::filesystem::path& run_dir) {
  const std::optional<LatestState> saved = latest_state(run_dir);
  if (!saved || !saved->state.last_row) return std::nullopt;
  return SavedRow{saved->state.step, *saved->state.last_row};
}

void require_continuable(const std::filesystem::path& run_dir, const Config& config) {
  const std::string remedy = "compare with the run's value, or choose another --out";
  for (const Difference& d :
       differences(config, continued_config(run_dir, config, {}, [&](const Difference&) { return remedy; })))
    user_error(run_dir.string(), ": the run was resumed with ", d.with(d.is), " instead of ", d.was.dump(), "; ",
               remedy);
}

Named<ConfigChange> config_changes(const Config& was, const Config& is) {
  Named<ConfigChange> changes;
  for (const Difference& d : differences(was, is))
    changes.emplace_back(dotted(d.path), ConfigChange{nlohmann::json(d.was), nlohmann::json(d.is)});
  return changes;
}

void write_run_config(const std::filesystem::path& run_dir, const Config& config) {
  write_text_file(config_path(run_dir), to_json(config).dump(2) + "\n");
}

bool holds_optimizer(const std::filesystem::path& checkpoint) { return anything_at(checkpoint / kOptimizerFile); }

Config branch_config(const std::filesystem::path& from, const Config& config) {
  if (!config.train.auto_micro_batch()) return config;
  const HeldCheckpoint held = hold_checkpoint(from);
  const CheckpointState state = read_checkpoint_state(held.path);
  return with_micro_batch_of(parse_config(state.config, (held.path / kCheckpointStateFile).string()), config);
}

void branch_run(const std::filesystem::path& from, UnstartedRun& run, const Config& config) {
  const HeldCheckpoint held = hold_checkpoint(from);  // its run may be training
  if (!held.note.empty()) std::printf("note: %s\n", printable(held.note).c_str());
  const std::filesystem::path checkpoint = std::filesystem::canonical(held.path);
  if (!holds_optimizer(checkpoint))
    user_error("--branch ", from.string(), ": holds no ", kOptimizerFile,
               ", like an imported model; start from its weights alone with --init-from ", from.string());
  const CheckpointState state = read_checkpoint_state(checkpoint);
  const Config parent = parse_config(state.config, (checkpoint / kCheckpointStateFile).string());
  for (const Difference& d : differences(parent, config))
    if (!is_free(d.path) && !may_change(d.path))
      user_error("--branch ", from.string(), ": was trained with ", d.with(d.was), ", now it is ", d.is.dump(),
                 "; a branch keeps it: give the same value, or start a new run without --branch");
  if (config.train.steps <= state.step)
    user_error("--branch ", from.string(), ": has done ", state.step, " steps, and train.steps is ", config.train.steps,
               "; give more steps");
  verify_checkpoint(checkpoint);
  if (const auto other = run_of_checkpoint(checkpoint)) {  // before the copy, so errors name these files
    require_rows_in_order(*other, state.step);
    require_provenance(*other);
    require_recorded_tokenizer(*other);
  }
  run.claim();
  run.mark_unfinished(true);
  fill_branch(checkpoint, run.dir(),
              HistoryEntry{state.step, checkpoint.string(), {}, {}, config_changes(parent, config), {}, {}, {}});
  write_run_config(run.dir(), config);  // last: from now on the folder holds a run
  run.mark_unfinished(false);
}

}  // namespace gptmoe
