#include "base/cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

namespace gptmoe {
namespace {

TEST(UsableCores, RespectsTheAffinity) {
  EXPECT_GE(usable_cores(), 1);
  int found = 0, permitted = 0, after = 0;
  std::vector<int> numbers;
  std::thread([&] {
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE; ++core)
      if (CPU_ISSET(core, &all)) {
        CPU_SET(core, &one);
        break;
      }
    sched_setaffinity(0, sizeof one, &one);  // for this thread only
    found = usable_cores();
    permitted = permitted_cores();
    after = usable_cores();
    numbers = usable_core_numbers();
  }).join();
  EXPECT_EQ(found, 1);
  EXPECT_EQ(numbers.size(), 1u);
  EXPECT_GE(permitted, usable_cores());
  EXPECT_EQ(after, 1) << "the queries leave the affinity unchanged";
}

}  // namespace
}  // namespace gptmoe
