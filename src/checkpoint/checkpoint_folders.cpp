#include "checkpoint/checkpoint_folders.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/unfinished.h"
#include "checkpoint/held_checkpoint.h"
#include "checkpoint/open_checkpoint.h"
#include "records/run_folder.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLatestFile = "LATEST";
constexpr const char* kUnfinished = ".tmp";
constexpr const char* kReplaced = ".old";

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

// The complete checkpoints in a folder and their steps, by step. Before a step is saved again, its old folder is
// renamed to *.old. If a crash leaves only that folder, it counts as the step's checkpoint.
std::vector<std::pair<int64_t, fs::path>> checkpoints_in(const fs::path& folder) {
  std::vector<std::pair<int64_t, fs::path>> found;
  for (const fs::path& entry : folder_entries(folder)) {
    const std::string name = entry.filename().string();
    int64_t step = step_of(name);
    if (step < 0 && (step = step_of(name, kReplaced)) >= 0 && is_checkpoint(folder / step_name(step))) continue;
    if (step >= 0 && is_checkpoint(entry)) found.emplace_back(step, entry);
  }
  std::sort(found.begin(), found.end());
  return found;
}

// Removes a folder unless a process is reading it. Renames it first, so that a crash cannot leave a part of it that
// looks like a checkpoint. Ignores failures, since a folder that cannot be removed must not end a run; the next save
// tries again.
void discard(const fs::path& folder) {
  const HeldFolder unread(folder, HeldFolder::Use::remove);
  if (!unread.held()) return;
  std::error_code ignored;  // see above
  fs::path doomed = folder;
  if (folder.extension() != kUnfinished) {
    doomed += kUnfinished;
    fs::remove_all(doomed, ignored);
    fs::rename(folder, doomed, ignored);
  }
  std::error_code error;
  fs::remove_all(doomed, error);
  if (error) fs::remove_all(doomed, ignored);  // a second attempt, since no save follows a run's last one
}

// Removes a folder. If a process is reading it, renames it to an unfinished folder, which a later save removes.
void move_away(const fs::path& folder) {
  discard(folder);
  if (!anything_at(folder)) return;
  const Unfinished aside = new_unfinished_folder(folder);
  fs::rename(folder, aside.path);
}

}  // namespace

std::vector<fs::path> list_checkpoints(const fs::path& run_dir) {
  std::vector<fs::path> paths;
  for (auto& [step, path] : checkpoints_in(run_dir / kCheckpointsFolder)) paths.push_back(std::move(path));
  return paths;
}

std::optional<fs::path> latest_checkpoint(const fs::path& run_dir) {
  const fs::path folder = run_dir / kCheckpointsFolder, latest = folder / kLatestFile;
  if (!anything_at(folder)) return std::nullopt;
  if (anything_at(latest)) {
    std::string name = read_text_file(latest);
    while (!name.empty() && name.back() == '\n') name.pop_back();
    if (step_of(name) >= 0 && is_checkpoint(folder / name)) return folder / name;
  }
  const std::vector<fs::path> all = list_checkpoints(run_dir);
  return all.empty() ? std::nullopt : std::optional(all.back());
}

std::string latest_note(const fs::path& run_dir) {
  const std::optional<fs::path> latest = latest_checkpoint(run_dir);
  if (!latest || latest->extension() == kReplaced) return "";  // the step was being saved again
  std::vector<fs::path> all = list_checkpoints(run_dir);
  std::erase_if(all, [](const fs::path& path) { return path.extension() == kReplaced; });  // LATEST cannot name it
  if (all.empty() || step_of(all.back().filename()) <= step_of(latest->filename())) return "";
  if (latest_checkpoint(run_dir) != latest) return "";  // its run has just saved another one
  return text((latest->parent_path() / kLatestFile).string(), ": names ", latest->filename().string(), ", but ",
              all.back().filename().string(), " is later; to use the later one, write its name into this file");
}

fs::path resolve_checkpoint(const fs::path& path) {
  if (!anything_at(path)) user_error(path.string(), ": no such file or folder");
  if (is_checkpoint(path)) return path;
  if (const std::optional<fs::path> latest = latest_checkpoint(path)) return *latest;
  if (anything_at(path / kCheckpointsFolder)) user_error(path.string(), ": this run has no checkpoint yet");
  user_error(path.string(),
             ": neither a run's folder (which holds checkpoints/) nor a checkpoint (which holds state.json)");
}

bool is_being_replaced(const fs::path& checkpoint_dir) {
  return !anything_at(checkpoint_dir) && anything_at(checkpoint_dir.string() + kReplaced);
}

std::string damage_remedy(const fs::path& checkpoint_dir) {
  fs::path self = fs::absolute(checkpoint_dir).lexically_normal();
  if (!self.has_filename()) self = self.parent_path();
  if (self.parent_path().filename() != kCheckpointsFolder) return "import or copy it again";
  const std::string name = self.filename().string();
  const int64_t own_step = std::max(step_of(name), step_of(name, kReplaced));
  std::string others;  // names the damaged checkpoints after the one to use
  try {
    const auto saved = checkpoints_in(self.parent_path());
    for (auto earlier = saved.rbegin(); earlier != saved.rend(); ++earlier) {
      const auto& [step, path] = *earlier;
      if (step >= own_step) continue;
      if (is_intact(path))
        return text("remove ", self.string(), others, " to use the earlier ", path.filename().string());
      others += text(" and ", path.filename().string(), ", which is damaged too,");
    }
  } catch (const std::runtime_error& error) {  // UserError or Failure
    return text("whether there is an earlier checkpoint is unknown: ", error.what());
  }
  return others.empty() ? "there is no earlier checkpoint: start the run again"
                        : "no earlier checkpoint is intact: start the run again";
}

NewCheckpoint::NewCheckpoint(const fs::path& run_dir, int64_t step)
    : final_(run_dir / kCheckpointsFolder / step_name(step)), unfinished_(final_.string() + kUnfinished) {
  fs::create_directories(final_.parent_path());
  sync_directory(run_dir);
  fs::remove_all(unfinished_);
  fs::create_directory(unfinished_);
}

NewCheckpoint::~NewCheckpoint() { discard(unfinished_); }

void NewCheckpoint::commit() {
  const fs::path folder = final_.parent_path(), replaced = final_.string() + kReplaced;
  if (is_checkpoint(final_)) {
    move_away(replaced);
    fs::rename(final_, replaced);
  }
  fs::remove_all(final_);
  fs::rename(unfinished_, final_);
  sync_directory(folder);
  write_text_file(folder / kLatestFile, final_.filename().string() + "\n");
}

void remove_unfinished_checkpoints(const fs::path& run_dir) try {
  const fs::path folder = run_dir / kCheckpointsFolder;
  remove_leftovers_in(folder);
  for (const fs::path& entry : folder_entries(folder)) {
    const std::string name = entry.filename().string();
    const int64_t replaced = step_of(name, kReplaced);
    if (step_of(name, kUnfinished) >= 0 || step_of(name, std::string(kReplaced) + kUnfinished) >= 0 ||
        (replaced >= 0 && is_checkpoint(folder / step_name(replaced))))
      discard(entry);
  }
} catch (const UserError&) {
  // A folder that cannot be read is no reason to end the run: a function that needs a checkpoint in it reports the
  // error.
}

void remove_old_checkpoints(const fs::path& run_dir, int64_t step, int64_t keep) try {
  remove_unfinished_checkpoints(run_dir);
  const fs::path folder = run_dir / kCheckpointsFolder;
  auto saved = checkpoints_in(folder);
  std::erase_if(saved, [&](const auto& checkpoint) { return checkpoint.first > step; });
  const auto count = static_cast<int64_t>(saved.size());
  for (int64_t i = 0; keep > 0 && i < count - keep; ++i) discard(saved[static_cast<size_t>(i)].second);
} catch (const UserError&) {
  // A folder that cannot be read is no reason to end the run: the step is saved, and the next save tries again.
}

}  // namespace gptmoe
