// The limits of control groups. A temporary folder takes the place of the system's root.
#include "base/cgroup.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "support/temporary_folder.h"

namespace gptmoe {
namespace {

class Cgroup : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& content) {
    const std::filesystem::path file = root_ / path;
    std::filesystem::create_directories(file.parent_path());
    write_text_file(file, content);
  }
  // Version 1 as a container sees it. `group`: the group's path on the host. `shown`: the path at the top of the
  // mounts.
  void write_version1(const std::string& group, const std::string& shown) {
    write("proc/self/cgroup", "4:memory:" + group + "\n3:cpu,cpuacct:" + group + "\n1:name=systemd:/other\n0::/\n");
    write("proc/self/mountinfo",
          "22 21 0:20 / /proc rw - proc proc rw\n"
          "32 31 0:29 " +
              shown +
              " /sys/fs/cgroup/cpu rw,relatime shared:7 - cgroup cgroup rw,cpu,cpuacct\n"
              "35 31 0:32 " +
              shown + " /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  }
  void write_version2(const std::string& group) {
    write("proc/self/cgroup", "0::" + group + "\n");
    write("proc/self/mountinfo", "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  }
  CgroupLimits limits() const { return cgroup_limits(root_.path()); }

  TemporaryFolder root_;
};

TEST_F(Cgroup, NoGroupsAreNoLimits) {
  EXPECT_TRUE(std::isinf(limits().cores));
  EXPECT_EQ(limits().free_memory, std::numeric_limits<int64_t>::max());
  write("proc/self/cgroup", "broken\n::\n4:cpu\n");
  write("proc/self/mountinfo", "broken\n1 2 3\n32 31 0:29 / /cpu rw\n");
  EXPECT_TRUE(std::isinf(limits().cores));
}

TEST_F(Cgroup, Version1Quota) {
  write_version1("/", "/");
  const std::string folder = "sys/fs/cgroup/cpu/";
  write(folder + "cpu.cfs_quota_us", "-1\n");
  write(folder + "cpu.cfs_period_us", "100000\n");
  EXPECT_TRUE(std::isinf(limits().cores));
  write(folder + "cpu.cfs_quota_us", "250000\n");
  EXPECT_DOUBLE_EQ(limits().cores, 2.5);
}

TEST_F(Cgroup, Version1TightestOfNestedGroups) {
  write_version1("/batch/job", "/");
  for (const auto& [group, quota] : {std::pair{"", "-1"}, {"batch/", "150000"}, {"batch/job/", "400000"}}) {
    write(std::string("sys/fs/cgroup/cpu/") + group + "cpu.cfs_quota_us", quota);
    write(std::string("sys/fs/cgroup/cpu/") + group + "cpu.cfs_period_us", "100000");
  }
  EXPECT_DOUBLE_EQ(limits().cores, 1.5);
}

TEST_F(Cgroup, Version1InAContainerItsGroupIsTheTopOfTheMount) {
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
  write("sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "50000");
  write("sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000");
  write_version1("/docker/0123", "/docker/0123");
  EXPECT_DOUBLE_EQ(limits().cores, 3);
  write_version1("/docker/0123/inner", "/docker/0123");
  EXPECT_DOUBLE_EQ(limits().cores, 0.5);
  write_version1("/docker/other", "/docker/0123");
  EXPECT_DOUBLE_EQ(limits().cores, 3) << "a group that the mount does not show";
  write_version1("/../elsewhere", "/");
  EXPECT_DOUBLE_EQ(limits().cores, 3) << "a group outside the namespace";
}

TEST_F(Cgroup, Version2Quota) {
  write_version2("/user.slice/job");
  write("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
  EXPECT_TRUE(std::isinf(limits().cores));
  write("sys/fs/cgroup/user.slice/job/cpu.max", "200000 100000\n");
  EXPECT_DOUBLE_EQ(limits().cores, 2);
  write("sys/fs/cgroup/user.slice/cpu.max", "50000 50000\n");
  EXPECT_DOUBLE_EQ(limits().cores, 1);
}

TEST_F(Cgroup, FreeMemoryCountsFilePagesThatCanBeDropped) {
  write_version1("/job", "/");
  const std::string v1 = "sys/fs/cgroup/memory/job/";
  write(v1 + "memory.limit_in_bytes", "1000000\n");
  write(v1 + "memory.usage_in_bytes", "700000\n");
  EXPECT_EQ(limits().free_memory, 300000);
  write(v1 + "memory.stat", "cache 9\nactive_file 1\ntotal_inactive_file 40000\ntotal_active_file 60000\n");
  EXPECT_EQ(limits().free_memory, 400000);
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "99999\n");
  EXPECT_EQ(limits().free_memory, 400000) << "no limit above";

  write_version2("/job");
  const std::string v2 = "sys/fs/cgroup/job/";
  write(v2 + "memory.max", "max\n");
  write(v2 + "memory.current", "700000\n");
  EXPECT_EQ(limits().free_memory, std::numeric_limits<int64_t>::max());
  write(v2 + "memory.max", "500000\n");
  EXPECT_EQ(limits().free_memory, 0) << "over its limit";
  write(v2 + "memory.stat", "inactive_file 300000\nactive_file 50000\n");
  EXPECT_EQ(limits().free_memory, 150000);
}

}  // namespace
}  // namespace gptmoe
