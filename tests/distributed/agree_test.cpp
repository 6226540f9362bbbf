// agree() on one rank. For several ranks see tests/distributed/ranks/world_test.cpp.
#include "distributed/agree.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "distributed/threads.h"
#include "support/error_message.h"

namespace gptmoe {
namespace {

TEST(Agree, OneRankThrowsItsError) {
  const auto world = make_single_world();
  EXPECT_EQ(message<UserError>([&] { agree(*world, [] { user_error("run.json: not there"); }); }),
            "run.json: not there");
  EXPECT_EQ(message<DeviceError>([&] { agree(*world, [] { throw DeviceError("GPU"); }); }), "GPU");
  bool ran = false;
  agree(*world, [&] { ran = true; });
  EXPECT_TRUE(ran);
  check_alike(*world, {{"seed", "1"}});
}

TEST(ProgramChecksum, IsTheSameEveryTime) {
  EXPECT_EQ(program_checksum().size(), 16u);
  EXPECT_EQ(program_checksum(), program_checksum());
}

TEST(SingleWorld, AnswersForItsOnlyRank) {
  const auto world = make_single_world();
  EXPECT_EQ(world->name(0), "rank 0 (" + world->host(0) + ")");
  EXPECT_FALSE(world->host(0).empty());
  EXPECT_EQ(world->all_gather("mine"), std::vector<std::string>{"mine"});
  EXPECT_EQ(world->from_root("mine"), "mine");
  std::vector<double> values = {1.5, 2};
  world->sum(values);
  EXPECT_EQ(values, (std::vector<double>{1.5, 2}));
  EXPECT_TRUE(world->any(true));
  EXPECT_FALSE(world->any(false));
  EXPECT_EQ(rank_threads(*world).note, "");
}

}  // namespace
}  // namespace gptmoe
