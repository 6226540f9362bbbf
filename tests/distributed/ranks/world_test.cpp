#include <gtest/gtest.h>
#include <omp.h>

#include <numeric>

#include "base/cores.h"
#include "distributed/agree.h"
#include "distributed/ranks/ranks.h"
#include "distributed/threads.h"
#include "support/error_message.h"

namespace gptmoe {
namespace {

TEST(RankWorld, KnowsItsRanks) {
  World& world = ranks();
  EXPECT_EQ(world.local_size(), world.size()) << "all on this machine";
  EXPECT_EQ(world.local_rank(), world.rank());
  EXPECT_FALSE(world.host(world.size() - 1).empty());
  EXPECT_EQ(world.name(0), "rank 0 (" + world.host(0) + ")");
  const std::vector<std::string> all = world.all_gather(std::to_string(world.rank()));
  for (int r = 0; r < world.size(); ++r) EXPECT_EQ(all[static_cast<size_t>(r)], std::to_string(r));
}

TEST(RankWorld, GathersTextsOfAnyLength) {
  World& world = ranks();
  const auto text_of = [](int rank) {
    return rank == 0 ? std::string() : std::string(static_cast<size_t>(rank * 100000), static_cast<char>('a' + rank));
  };
  const std::vector<std::string> all = world.all_gather(text_of(world.rank()));
  ASSERT_EQ(all.size(), static_cast<size_t>(world.size()));
  for (int r = 0; r < world.size(); ++r) EXPECT_EQ(all[static_cast<size_t>(r)], text_of(r));
  const std::string binary("a\0b", 3);
  EXPECT_EQ(world.from_root(world.is_root() ? binary : "mine"), binary);
  EXPECT_EQ(world.from_root(world.is_root() ? "" : "mine"), "");
}

TEST(RankWorld, SumsInRankOrder) {
  World& world = ranks();
  const auto value = [](int rank, size_t i) { return 1.0 / (3.0 + rank + 7.0 * static_cast<double>(i)); };
  std::vector<double> values(5), expected(5);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = value(world.rank(), i);
    expected[i] = value(0, i);
    for (int r = 1; r < world.size(); ++r) expected[i] += value(r, i);
  }
  world.sum(values);
  EXPECT_EQ(values, expected);
}

TEST(RankWorld, AnyIsTrueIfItIsTrueOnOneRank) {
  World& world = ranks();
  EXPECT_FALSE(world.any(false));
  EXPECT_TRUE(world.any(true));
  EXPECT_TRUE(world.any(world.rank() == world.size() - 1));
}

TEST(RankWorld, SendsPartsToRankZero) {
  World& world = ranks();
  std::vector<int64_t> part(100000);
  if (!world.is_root()) {
    std::iota(part.begin(), part.end(), world.rank());
    world.send_to_root(part.data(), static_cast<int64_t>(part.size() * sizeof part[0]));
    world.send_to_root(nullptr, 0);
    return;
  }
  for (int from = 1; from < world.size(); ++from) {
    world.receive_at_root(part.data(), static_cast<int64_t>(part.size() * sizeof part[0]), from);
    world.receive_at_root(nullptr, 0, from);
    EXPECT_EQ(part.front(), from);
    EXPECT_EQ(part.back(), from + 99999);
  }
}

TEST(RankWorld, RanksShareTheCores) {
  World& world = ranks();
  const char* before = std::getenv("OMP_NUM_THREADS");
  const std::string set = before ? before : "";
  setenv("OMP_NUM_THREADS", "5", 1);
  EXPECT_EQ(rank_threads(world).threads, omp_get_max_threads());
  unsetenv("OMP_NUM_THREADS");
  const RankThreads free = rank_threads(world);
  EXPECT_EQ(free.threads, std::max(1, usable_cores() / world.size()));
  EXPECT_EQ(free.note, "");

  cpu_set_t all, one;
  sched_getaffinity(0, sizeof all, &all);
  CPU_ZERO(&one);
  CPU_SET(usable_core_numbers().front(), &one);
  sched_setaffinity(0, sizeof one, &one);
  const RankThreads bound = rank_threads(world);
  sched_setaffinity(0, sizeof all, &all);
  EXPECT_EQ(bound.threads, 1);
  if (world.size() > 1 && CPU_COUNT(&all) > 1) {
    EXPECT_NE(bound.note.find(" rank(s) to 1 of "), std::string::npos) << bound.note;
    EXPECT_NE(bound.note.find("--bind-to none"), std::string::npos) << bound.note;
  }
  if (before) setenv("OMP_NUM_THREADS", set.c_str(), 1);
}

// Returns the error that agree() throws on every rank, and expects it to be the same on all of them.
template <typename Error>
std::string disagreement(const std::function<void()>& setup) {
  try {
    agree(ranks(), setup);
  } catch (const Error& error) {
    EXPECT_EQ(dynamic_cast<const KnownToAllRanks*>(&error) != nullptr, ranks().size() > 1);
    return error.what();
  }
  return "no error";
}

TEST(Agree, AnErrorOfAllRanksIsReportedOnce) {
  EXPECT_EQ(disagreement<UserError>([] {}), "no error");
  EXPECT_EQ(disagreement<UserError>([] { user_error("run.json: not there"); }), "run.json: not there");
  EXPECT_EQ(disagreement<BugError>([] { throw BugError("a bug"); }), "a bug");
  EXPECT_EQ(disagreement<std::runtime_error>([] { throw std::runtime_error("no memory"); }), "no memory");
}

TEST(Agree, TheLowestRankThatFailsIsNamed) {
  World& world = ranks();
  if (world.size() == 1) GTEST_SKIP();
  const auto fails_from = [&](int rank) {
    return disagreement<UserError>([&, rank] {
      if (world.rank() >= rank) user_error("disk ", world.rank());
    });
  };
  EXPECT_EQ(fails_from(1), world.name(1) + ": disk 1");
  EXPECT_EQ(fails_from(0), world.name(0) + ": disk 0");
  // If ranks throw errors of two kinds, the lowest rank's wins.
  EXPECT_EQ(disagreement<Failure>([&] {
              if (world.rank() == 0) throw DeviceError("GPU");
              user_error("input");
            }),
            world.name(0) + ": GPU");
}

TEST(CheckAlike, NamesTheFirstDifference) {
  World& world = ranks();
  check_alike(world, {{"build", program_checksum()}, {"seed", "1"}});
  if (world.size() == 1) return;
  const int last = world.size() - 1;
  const auto differs = [&](const NamedValues& facts) { return message<UserError>([&] { check_alike(world, facts); }); };
  EXPECT_EQ(differs({{"seed", "1:x"},
                     {"train.steps", world.rank() == last ? "20" : "10"},
                     {"b", world.rank() == last ? "x" : "y"}}),
            "train.steps: not the same on all ranks: 10 on " + world.name(0) + ", 20 on " + world.name(last));
  EXPECT_NE(differs({{world.rank() == last ? "a" : "b", "1"}}).find("compare different values"), std::string::npos);
  EXPECT_NE(differs(world.rank() == last ? NamedValues{} : NamedValues{{"b", "1"}}).find("compare different values"),
            std::string::npos);
}

}  // namespace
}  // namespace gptmoe
