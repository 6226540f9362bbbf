#include "report/find_runs.h"

#include <algorithm>
#include <map>

#include "base/check.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/read_json.h"
#include "base/unfinished.h"
#include "records/metrics_file.h"
#include "records/run_folder.h"
#include "report/sweep.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// Appends the runs at and below `folder` to `runs`. Throws UserError if `folder` cannot be read. If a folder below it
// cannot be read, appends the error's text to `skipped`, or throws too if `skipped` is null.
void find_below(const fs::path& folder, std::vector<fs::path>& runs, std::vector<std::string>* skipped) {
  if (anything_at(folder / kCheckpointStateFile)) return;
  if (holds_run(folder)) {
    runs.push_back(folder);
    return;
  }
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::error_code gone;  // an entry that was removed after the listing is no run
    const std::string name = entry->path().filename().string();
    if (!entry->is_directory(gone) || entry->is_symlink(gone) || name.starts_with('.') || name == kCheckpointsFolder ||
        is_unfinished(name))
      continue;
    try {
      find_below(entry->path(), runs, skipped);
    } catch (const UserError& unreadable) {
      if (!skipped) throw;
      skipped->push_back(unreadable.what());
    }
  }
  if (error && !is_absence(error)) user_error(folder.string(), ": cannot read the folder: ", error.message());
}

// "learning_rate=1e-3,betas=[1,2]" as two settings; none if `name` is not a list of settings. A value may hold commas.
std::vector<Setting> settings_in(const std::string& name) {
  std::vector<Setting> settings;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find(',', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    const size_t equals = part.find('=');
    if (equals != std::string::npos && equals > 0)
      settings.push_back({part.substr(0, equals), part.substr(equals + 1)});
    else if (!settings.empty())
      settings.back().value += "," + part;
    else
      return {};
    begin = end + 1;
  }
  return settings;
}

struct FoundArm {
  Arm arm;
  bool topk;
  std::vector<fs::path> runs;
};

std::string router_of(const fs::path& run) {
  const auto config = read_json<nlohmann::ordered_json>(run / kRunConfigFile, Comments::allowed);
  const nlohmann::ordered_json::json_pointer type("/router/type");
  return config.contains(type) ? config[type].dump() : "\"topk\"";
}

// The arm whose path relative to `folder` is `name`, without its runs. `run` is one of them.
FoundArm describe(const fs::path& folder, const fs::path& name, const fs::path& run) {
  const std::string label = name == "." ? folder.string() : name.string();
  const bool topk = router_of(run) == "\"topk\"";  // not in the braces: GCC 12 frees the label twice if it throws
  FoundArm found{{label, {}, label, {}}, topk, {}};
  const std::vector<Setting> settings = settings_in(name.filename().string());
  if (!settings.empty() && name.has_parent_path()) {
    found.arm.family = name.parent_path().string();
    found.arm.settings = settings;
    found.arm.label = found.arm.family + " " + settings_text(settings);
  }
  return found;
}

bool settings_less(const std::vector<Setting>& a, const std::vector<Setting>& b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), [](const Setting& x, const Setting& y) {
    if (x.path != y.path) return natural_less(x.path, y.path);
    const auto number = number_in(x), other = number_in(y);
    return number && other ? *number < *other : natural_less(x.value, y.value);
  });
}

std::vector<FoundArm> arms_in(const fs::path& folder, std::vector<std::string>* skipped) {
  if (file_type_at(folder) != fs::file_type::directory)
    user_error(folder.string(), ": no such run directory; give a folder that holds config.json and metrics.jsonl");
  std::vector<FoundArm> arms;
  std::map<std::string, bool> topk;  // by family
  const size_t skipped_before = skipped ? skipped->size() : 0;
  for (const fs::path& run : find_runs(folder, skipped)) {
    if (run != folder && !anything_at(run / kMetricsFile)) continue;
    const bool seed = run.filename().string().starts_with("seed_") && run != folder;
    const fs::path name = (seed ? run.parent_path() : run).lexically_relative(folder);
    const auto same = std::find_if(arms.begin(), arms.end(), [&](const FoundArm& other) {
      return seed && other.runs.front().parent_path() == run.parent_path() &&
             other.runs.front().filename().string().starts_with("seed_");
    });
    (same == arms.end() ? arms.emplace_back(describe(folder, name, run)) : *same).runs.push_back(run);
    topk[arms.back().arm.family] |= arms.back().topk;
  }
  if (arms.empty() && skipped && skipped->size() > skipped_before) user_error(skipped->back());
  if (arms.empty())
    user_error(folder.string(),
               ": holds no run; pass a run's folder (which holds config.json and metrics.jsonl), or a ",
               "folder that holds runs");
  std::stable_sort(arms.begin(), arms.end(), [&](const FoundArm& a, const FoundArm& b) {
    if (topk[a.arm.family] != topk[b.arm.family]) return topk[a.arm.family];
    if (a.arm.family != b.arm.family) return natural_less(a.arm.family, b.arm.family);
    return settings_less(a.arm.settings, b.arm.settings);
  });
  return arms;
}

}  // namespace

bool natural_less(const std::string& a, const std::string& b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (!digit(a[i]) || !digit(b[j])) {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
      continue;
    }
    const size_t first = i, other = j;
    while (i < a.size() && digit(a[i])) ++i;
    while (j < b.size() && digit(b[j])) ++j;
    const std::string_view number(a.data() + first, i - first), number_b(b.data() + other, j - other);
    if (number.size() != number_b.size()) return number.size() < number_b.size();
    if (number != number_b) return number < number_b;
  }
  return a.size() - i < b.size() - j;
}

std::vector<fs::path> find_runs(const fs::path& folder, std::vector<std::string>* skipped) {
  std::vector<fs::path> runs;
  find_below(folder, runs, skipped);
  std::sort(runs.begin(), runs.end(),
            [](const fs::path& a, const fs::path& b) { return natural_less(a.string(), b.string()); });
  return runs;
}

std::vector<Arm> find_arms(const fs::path& folder, const RunReader& read, std::vector<std::string>* skipped) {
  std::vector<Arm> arms;
  for (FoundArm& found : arms_in(folder, skipped)) {
    for (const fs::path& run : found.runs) found.arm.runs.push_back(read(run));
    arms.push_back(std::move(found.arm));
  }
  return arms;
}

std::vector<fs::path> find_runs_by_arm(const fs::path& folder) {
  std::vector<fs::path> runs;
  for (const FoundArm& found : arms_in(folder, nullptr)) runs.insert(runs.end(), found.runs.begin(), found.runs.end());
  return runs;
}

}  // namespace gptmoe
