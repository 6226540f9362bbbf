#include "base/cgroup.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// A mounted hierarchy of groups. Version 2 has one. Version 1 has one for each controller, or one that several
// controllers share.
struct Hierarchy {
  bool version2 = false;
  std::string controllers;  // version 1: "cpu,cpuacct" among the mount's options
  std::string shown;        // the group that the mount shows as its top
  fs::path point;           // where it is mounted
};

bool has_word(const std::string& list, const std::string& word) {
  std::istringstream words(list);
  for (std::string found; std::getline(words, found, ',');)
    if (found == word) return true;
  return false;
}

// The mounted hierarchies. They come from lines like "35 31 0:32 /shown /sys/fs/cgroup/memory rw - cgroup source
// rw,memory".
std::vector<Hierarchy> hierarchies(const fs::path& root) {
  std::vector<Hierarchy> found;
  std::ifstream mounts(root / "proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string word, point, type, source;
    Hierarchy hierarchy;
    words >> word >> word >> word >> hierarchy.shown >> point;
    while (words >> word && word != "-") {
    }
    if (!(words >> type >> source >> hierarchy.controllers) || (type != "cgroup" && type != "cgroup2")) continue;
    hierarchy.version2 = type == "cgroup2";
    hierarchy.point = root / fs::path(point).relative_path();
    found.push_back(std::move(hierarchy));
  }
  return found;
}

// The process's group in the hierarchy of `controller` ("" for version 2), from lines like "4:cpu,cpuacct:/group" or
// "0::/group".
std::string group_of(const fs::path& root, const std::string& controller) {
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? controllers.empty() : has_word(controllers, controller)) return line.substr(second + 1);
  }
  return "";
}

// The folders of the process's group and of all groups above it that the mount shows.
std::vector<fs::path> folders_of(const Hierarchy& hierarchy, const std::string& group) {
  std::string below;  // the mount's top if the mount does not show the group
  if (hierarchy.shown == "/")
    below = group;
  else if (group.starts_with(hierarchy.shown + "/"))
    below = group.substr(hierarchy.shown.size());
  if (below.find("/..") != std::string::npos) below.clear();
  std::vector<fs::path> folders = {hierarchy.point};
  for (const fs::path& name : fs::path(below).relative_path()) folders.push_back(folders.back() / name);
  return folders;
}

// The whole number at the start of a file, or after the first `word` in it; -1 if there is none.
int64_t number_in(const fs::path& path, const std::string& word = "") {
  std::ifstream in(path);
  std::string found;
  while (!word.empty() && found != word && in >> found) {
  }
  int64_t number = -1;
  return in >> number ? number : -1;
}

void limit_cores(const fs::path& folder, bool version2, CgroupLimits& limits) {
  int64_t quota = -1, period = -1;
  if (version2) {
    std::ifstream(folder / "cpu.max") >> quota >> period;  // "max 100000" leaves both unread
  } else {
    quota = number_in(folder / "cpu.cfs_quota_us");
    period = number_in(folder / "cpu.cfs_period_us");
  }
  if (quota > 0 && period > 0)
    limits.cores = std::min(limits.cores, static_cast<double>(quota) / static_cast<double>(period));
}

void limit_memory(const fs::path& folder, bool version2, CgroupLimits& limits) {
  const int64_t limit = number_in(folder / (version2 ? "memory.max" : "memory.limit_in_bytes"));
  const int64_t used = number_in(folder / (version2 ? "memory.current" : "memory.usage_in_bytes"));
  if (limit < 0 || used < 0) return;
  int64_t droppable = 0;
  for (const std::string pages : {"active_file", "inactive_file"})  // "total_" includes the groups below
    droppable += std::max<int64_t>(0, number_in(folder / "memory.stat", version2 ? pages : "total_" + pages));
  limits.free_memory =
      std::min(limits.free_memory, std::max<int64_t>(0, limit - std::max<int64_t>(0, used - droppable)));
}

}  // namespace

CgroupLimits cgroup_limits(const fs::path& root) {
  CgroupLimits limits;
  for (const Hierarchy& hierarchy : hierarchies(root)) {
    const bool version2 = hierarchy.version2;
    if (version2 || has_word(hierarchy.controllers, "cpu"))
      for (const fs::path& folder : folders_of(hierarchy, group_of(root, version2 ? "" : "cpu")))
        limit_cores(folder, version2, limits);
    if (version2 || has_word(hierarchy.controllers, "memory"))
      for (const fs::path& folder : folders_of(hierarchy, group_of(root, version2 ? "" : "memory")))
        limit_memory(folder, version2, limits);
  }
  return limits;
}

}  // namespace gptmoe
