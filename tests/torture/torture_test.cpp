// A few faults of each kind, spread over each job. tools/torture.sh tries all of them.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>

#include "support/sanitized.h"
#include "torture/campaign.h"

namespace gptmoe::torture {
namespace {

// Under sanitizers every process starts slowly.
constexpr uint64_t kStride = kSanitized ? 3 : 1;

// The tests of a job share its bench.
Bench& bench_of(const Job& job) {
  static std::map<const Job*, std::unique_ptr<Bench>> benches;
  std::unique_ptr<Bench>& bench = benches[&job];
  if (!bench) bench = std::make_unique<Bench>(job);
  return *bench;
}

class Torture : public ::testing::TestWithParam<const Job*> {
 protected:
  Bench& bench_ = bench_of(*GetParam());
};

// A checkpoint that could not be pruned may stay.
void expect_survived(const Outcome& outcome) {
  EXPECT_TRUE(outcome.verdict == Verdict::survived || outcome.verdict == Verdict::left_over) << outcome.note;
}

TEST_P(Torture, FaultsOfFileCalls) {
  constexpr const char* kActs[] = {"EIO", "short", "ENOSPC", "kill", "EACCES", "EINTR"};
  const uint64_t calls = bench_.calls(Calls::files).size();
  ASSERT_GT(calls, 5u);
  for (uint64_t i = 0; i < 6; i += kStride)
    expect_survived(bench_.attempt({Calls::files, 1 + i * calls / 6, kActs[i]}));
}

TEST_P(Torture, FailedAllocations) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer has its own operator new";
  const uint64_t calls = bench_.calls(Calls::memory).size();
  ASSERT_GT(calls, 100u);
  for (uint64_t i = 0; i < 6; ++i) expect_survived(bench_.attempt({Calls::memory, 1 + i * calls / 6, "EIO"}));
}

TEST_P(Torture, RandomKills) {
  const Rng rng(7, GetParam()->name.size());
  for (uint64_t i = 0; i < 2; i += kStride)
    expect_survived(bench_.kill_after(static_cast<double>(rng.below(i, 1000)) / 1000, i % 2 == 0));
}

TEST_P(Torture, DamagedFiles) {
  const Campaign campaign{.stride = 0, .memory_stride = 0, .kills = 0, .damages = 4 / kStride, .seed = 1};
  const std::vector<Attempt> all = attempts(campaign, *GetParam(), bench_);
  if (all.empty()) GTEST_SKIP() << "the job reads no file that gptmoe wrote";
  for (const Attempt& attempt : all) expect_survived(carry_out(attempt, *GetParam(), bench_));
}

// A text or file of ids whose status cannot be read, though it can be opened, must not be recorded with a wrong size.
TEST(TortureStatuses, AreNeverGuessed) {
  for (const Job& job : all_jobs()) {
    if (job.name != "tokenize encode" && job.name != "tokenize import") continue;
    Bench& bench = bench_of(job);
    const std::vector<std::string> calls = bench.calls(Calls::files);
    for (uint64_t n = 1; n <= calls.size(); n += kStride)
      if (calls[n - 1] == "stat") expect_survived(bench.attempt({Calls::files, n, "EACCES"}));
  }
}

TEST(TortureOutcomes, ContinueAfterAStop) {
  const TemporaryFolder folder;
  const fs::path file = folder / "outcomes.tsv";
  {
    Outcomes outcomes(file, false);
    outcomes.add("train", {"EIO", 3}, {});
    outcomes.add("train", {"random kill", 1'000'000}, {Verdict::lost, "two\nlines"});
    outcomes.add("report", {"damage", 1'000'001}, {Verdict::left_over, "a file"});
  }
  std::ofstream(file, std::ios::app) << "report\tmemory\t1\tsurv";  // cut off by a kill
  Outcomes again(file, false);
  EXPECT_TRUE(again.has("train", {"EIO", 3}));
  EXPECT_FALSE(again.has("train", {"EIO", 4}));
  EXPECT_FALSE(again.has("report", {"EIO", 3}));
  EXPECT_FALSE(again.has("report", {"memory", 1}));
  EXPECT_EQ(again.bad(), 1);
  again.add("report", {"memory", 2}, {});
  EXPECT_TRUE(Outcomes(file, false).has("report", {"memory", 2}));
  const std::string table = again.table(all_jobs());
  EXPECT_NE(table.find("| train | 1 | 0 | 1 | 0 | 1 | 1 | 0 | 0 | 0 |\n"), table.npos) << table;
  EXPECT_NE(table.find("| total | 1 | 1 | 1 | 1 | 3 | 1 | 0 | 0 | 1 |\n"), table.npos) << table;
  EXPECT_NE(table.find("lost: train: two\\nlines\n"), table.npos) << table;
  EXPECT_NE(table.find("litter: report: a file\n"), table.npos) << table;

  Outcomes retried(file, true);
  EXPECT_TRUE(retried.has("train", {"EIO", 3}));
  EXPECT_FALSE(retried.has("train", {"random kill", 1'000'000}));
  EXPECT_EQ(retried.bad(), 0);
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
