#pragma once
// The limits that the system's control groups (cgroups, version 1 and 2) set for this process. Containers and batch
// systems limit processes with these groups.
#include <cstdint>
#include <filesystem>
#include <limits>

namespace gptmoe {

struct CgroupLimits {
  double cores = std::numeric_limits<double>::infinity();     // CPU seconds per second
  int64_t free_memory = std::numeric_limits<int64_t>::max();  // bytes, including file pages that can be dropped
};

// The tightest limits of the process's groups and of the groups that hold them; no limit where the system reports none.
// The groups are found through proc/self/cgroup and proc/self/mountinfo below `root`, which tests replace.
CgroupLimits cgroup_limits(const std::filesystem::path& root = "/");

}  // namespace gptmoe
