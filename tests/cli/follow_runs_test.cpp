// When report --watch ends.
#include "cli/follow_runs.h"

#include <signal.h>

#include "base/check.h"
#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

using std::chrono::milliseconds;

class FollowRuns : public ::testing::Test {
 protected:
  // Follows runs: `training`[i] of them train at the i-th look, and none after the last entry. Returns the signal.
  int follow(const std::vector<int64_t>& training, const FollowTimes& times) {
    return follow_runs(
        [&]() -> int64_t {
          const auto look = static_cast<size_t>(looks_++);
          return look < training.size() ? training[look] : 0;
        },
        [&] { write_(); }, times, stop_);
  }

  const StopSignal stop_;
  int looks_ = 0;
  std::function<void()> write_ = [] {};
};

TEST_F(FollowRuns, EndsAfterSeveralLooksWithoutARun) {
  EXPECT_EQ(follow({2, 0, 0, 1}, {.between_looks = milliseconds(1), .idle_looks = 3, .idle = milliseconds(0)}), 0);
  EXPECT_EQ(looks_, 4 + 3) << "a run may follow";
}

TEST_F(FollowRuns, EndsAfterSomeTimeWithoutARun) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(follow({1}, {.between_looks = milliseconds(1), .idle_looks = 1, .idle = milliseconds(30)}), 0);
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(30));
  EXPECT_GT(looks_, 2);
}

TEST_F(FollowRuns, EndsAtASignal) {
  write_ = [this] {
    if (looks_ == 2) raise(SIGINT);
  };
  EXPECT_EQ(follow({1, 1, 1, 1, 1, 1, 1, 1}, {.between_looks = milliseconds(1)}), SIGINT);
  EXPECT_EQ(looks_, 2);
}

TEST_F(FollowRuns, ThrowsOnlyWhatIsWrongAtTheStart) {
  const FollowTimes times{.between_looks = milliseconds(1), .idle_looks = 3, .idle = milliseconds(0)};
  write_ = [] { throw UserError("no such run"); };
  EXPECT_THROW(follow({}, times), UserError);
  write_ = [this] {
    if (looks_ > 1) throw UserError("a run was removed");
  };
  looks_ = 0;
  EXPECT_EQ(follow({1}, times), 0);
}

}  // namespace
}  // namespace gptmoe::testing
