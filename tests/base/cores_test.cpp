#include "base/cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

namespace gptmoe {
namespace {

TEST(UsableCores, KeepsToTheAffinity) {
  EXPECT_GE(usable_cores(), 1);
  int found = 0;
  std::thread([&] {
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE; ++core)
      if (CPU_ISSET(core, &all)) {
        CPU_SET(core, &one);
        break;
      }
    sched_setaffinity(0, sizeof one, &one);  // of this thread alone
    found = usable_cores();
  }).join();
  EXPECT_EQ(found, 1);
}

}  // namespace
}  // namespace gptmoe
