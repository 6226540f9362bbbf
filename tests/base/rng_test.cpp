#include "base/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace gptmoe {
namespace {

using PhiloxCounter = std::array<uint32_t, 4>;

// Known answers for philox4x32 with ten rounds, from Random123, the library of Philox's authors.
TEST(Philox, GivesTheKnownAnswers) {
  constexpr uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({ones, ones, ones, ones}, {ones, ones}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Rng, BitsAreThePhiloxWordsOfTheIndex) {
  EXPECT_EQ(Rng(0, 0).bits(0), 0x6627e8d5e169c58du);
  // PhiloxCounter: index low, index high, stream low, stream high; key: seed low, seed high.
  EXPECT_EQ(Rng(0x299f31d0a4093822u, 0x0370734413198a2eu).bits(0x85a308d3243f6a88u), 0xd16cfe0994fdccebu);
}

TEST(Rng, SeedStreamAndIndexEachMatter) {
  const std::set<uint64_t> drawn{Rng(1, 2).bits(3),         Rng(2, 2).bits(3),          Rng(1, 3).bits(3),
                                 Rng(1, 2).bits(4),         Rng(1ull << 32, 2).bits(3), Rng(1, 1ull << 32).bits(3),
                                 Rng(1, 2).bits(1ull << 32)};
  EXPECT_EQ(drawn.size(), 7u);
}

// Sample moments. The tests allow five standard errors.
struct Moments {
  double mean = 0, square = 0, fourth = 0;
};

template <typename Draw>
Moments moments(int64_t count, Draw draw) {
  Moments sum;
  for (int64_t i = 0; i < count; ++i) {
    const double value = draw(static_cast<uint64_t>(i));
    sum.mean += value;
    sum.square += value * value;
    sum.fourth += value * value * value * value;
  }
  const auto n = static_cast<double>(count);
  return {sum.mean / n, sum.square / n, sum.fourth / n};
}

constexpr int64_t kDraws = 200000;

TEST(Rng, UniformHasTheMomentsOfTheUnitInterval) {
  const Rng rng(1, 7);
  const Moments of = moments(kDraws, [&](uint64_t i) {
    const double value = rng.uniform(i);
    EXPECT_TRUE(value >= 0 && value < 1);
    return value;
  });
  const double root = std::sqrt(static_cast<double>(kDraws));
  EXPECT_NEAR(of.mean, 1.0 / 2, 5 * std::sqrt(1.0 / 12) / root);
  EXPECT_NEAR(of.square, 1.0 / 3, 5 * std::sqrt(4.0 / 45) / root);
}

TEST(Rng, NormalHasTheMomentsOfTheNormalDistribution) {
  const Rng rng(1, 7);
  const Moments of = moments(kDraws, [&](uint64_t i) { return rng.normal(i); });
  const double root = std::sqrt(static_cast<double>(kDraws));
  EXPECT_NEAR(of.mean, 0, 5 / root);
  EXPECT_NEAR(of.square, 1, 5 * std::sqrt(2.0) / root);
  EXPECT_NEAR(of.fourth, 3, 5 * std::sqrt(96.0) / root);
}

TEST(Rng, NeighboursAreUncorrelated) {
  const Rng rng(3, 1);
  double sum = 0;
  for (uint64_t i = 0; i < kDraws; ++i) sum += rng.normal(i) * rng.normal(i + 1);
  EXPECT_NEAR(sum / static_cast<double>(kDraws), 0, 5 / std::sqrt(static_cast<double>(kDraws)));
}

TEST(Rng, BelowIsUniformAndStaysBelow) {
  const Rng rng(5, 9);
  std::vector<int64_t> hits(7);
  for (uint64_t i = 0; i < kDraws; ++i) ++hits.at(rng.below(i, 7));
  const double expected = static_cast<double>(kDraws) / 7;
  for (int64_t count : hits) EXPECT_NEAR(static_cast<double>(count), expected, 5 * std::sqrt(expected));
  EXPECT_EQ(rng.below(0, 1), 0u);
}

// Fowler, Noll and Vo's published values for FNV-1a, 64 bits.
TEST(HashBytes, GivesTheKnownAnswers) {
  EXPECT_EQ(hash_bytes(""), 0xcbf29ce484222325u);
  EXPECT_EQ(hash_bytes("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(hash_bytes("foobar"), 0x85944171f73967e8u);
}

TEST(HashBytes, ContinuesFromItsBasis) { EXPECT_EQ(hash_bytes("bar", hash_bytes("foo")), hash_bytes("foobar")); }

}  // namespace
}  // namespace gptmoe
