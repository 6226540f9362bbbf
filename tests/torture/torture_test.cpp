// A few faults of each kind, spread over each job. tools/torture.sh tries all of them.
#include <gtest/gtest.h>

#include "support/sanitized.h"
#include "torture/bench.h"

namespace gptmoe::torture {
namespace {

// Under sanitizers every process starts slowly.
constexpr uint64_t kStride = kSanitized ? 3 : 1;

class Torture : public ::testing::TestWithParam<const Job*> {
 protected:
  Bench bench_{*GetParam()};
};

// A checkpoint that could not be pruned may stay.
void expect_survived(const Outcome& outcome) {
  EXPECT_TRUE(outcome.verdict == Verdict::survived || outcome.verdict == Verdict::left_over) << outcome.note;
}

TEST_P(Torture, FaultsOfFileCalls) {
  constexpr const char* kActs[] = {"EIO", "short", "ENOSPC", "kill", "EACCES", "EINTR"};
  const uint64_t calls = bench_.calls(Calls::files);
  ASSERT_GT(calls, 5u);
  for (uint64_t i = 0; i < 6; i += kStride)
    expect_survived(bench_.attempt({Calls::files, 1 + i * calls / 6, kActs[i]}));
}

TEST_P(Torture, FailedAllocations) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer has its own operator new";
  const uint64_t calls = bench_.calls(Calls::memory);
  ASSERT_GT(calls, 1000u);
  for (uint64_t i = 0; i < 6; ++i) expect_survived(bench_.attempt({Calls::memory, 1 + i * calls / 6, "EIO"}));
}

INSTANTIATE_TEST_SUITE_P(Jobs, Torture, ::testing::ValuesIn([] {
                           std::vector<const Job*> jobs;
                           for (const Job& job : all_jobs()) jobs.push_back(&job);
                           return jobs;
                         }()),
                         [](const auto& job) {
                           std::string name = job.param->name;
                           std::replace(name.begin(), name.end(), ' ', '_');
                           return name;
                         });

}  // namespace
}  // namespace gptmoe::torture
