#include "data/batches.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "support/error_line.h"
#include "support/write_shard.h"

namespace gptmoe {
namespace {

constexpr int64_t T = 4, V = 10000;

struct BatchLoaderTest : testing::Test {
  // Writes a shard of the tokens first, first + 1, ..., so that the first token identifies a window.
  void write_shard(const std::string& name, int32_t first, int64_t count) {
    std::vector<int32_t> tokens(static_cast<size_t>(count));
    std::iota(tokens.begin(), tokens.end(), first);
    gptmoe::write_shard(folder / name, V, tokens);
  }

  // All shards as one source.
  BatchLoader one_source(uint64_t seed = 1, int rank = 0, int world_size = 1) {
    std::vector<NamedText> texts;
    texts.push_back({"all", TokenLoader({(folder / "*.bin").string(), T, V})});
    return {std::move(texts), {1}, seed, rank, world_size};
  }

  // Each shard as a source of its own.
  BatchLoader mixture(const std::vector<std::string>& shards, std::vector<double> shares, int rank = 0,
                      int world_size = 1) {
    std::vector<NamedText> texts;
    for (const std::string& shard : shards) texts.push_back({shard, TokenLoader({(folder / shard).string(), T, V})});
    return {std::move(texts), std::move(shares), 1, rank, world_size};
  }

  // The first token of each row of the next micro-batch; checks that rows are consecutive and targets shifted by one.
  std::vector<int32_t> next_firsts(BatchLoader& loader, int64_t B) {
    std::vector<int32_t> inputs(static_cast<size_t>(B * T), -1), targets(inputs);
    loader.next_batch(Tensor(inputs.data(), DType::i32, {B, T}), Tensor(targets.data(), DType::i32, {B, T}));
    std::vector<int32_t> firsts;
    for (int64_t b = 0; b < B; ++b) {
      firsts.push_back(inputs[b * T]);
      for (int64_t t = 0; t < T; ++t) {
        EXPECT_EQ(inputs[b * T + t], firsts.back() + t);
        EXPECT_EQ(targets[b * T + t], inputs[b * T + t] + 1);
      }
    }
    return firsts;
  }

  std::vector<int32_t> epoch_of(BatchLoader& loader) { return next_firsts(loader, windows_of(loader.sources())); }

  TemporaryFolder folder;
};

TEST_F(BatchLoaderTest, EveryEpochVisitsEachWindowOnceInAnotherOrder) {
  write_shard("a.bin", 0, 201);
  write_shard("b.bin", 300, 201);
  BatchLoader loader = one_source();
  const auto first = epoch_of(loader), second = epoch_of(loader);
  EXPECT_EQ(std::set<int32_t>(first.begin(), first.end()).size(), 100u);
  EXPECT_NE(first, second);
  EXPECT_TRUE(std::is_permutation(first.begin(), first.end(), second.begin()));
  EXPECT_FALSE(std::is_sorted(first.begin(), first.end()));
}

TEST_F(BatchLoaderTest, OrderDependsOnTheSeedOnly) {
  write_shard("a.bin", 0, 401);
  BatchLoader one = one_source(), same = one_source(), other = one_source(2);
  const auto order = epoch_of(one);
  EXPECT_EQ(order, epoch_of(same));
  EXPECT_NE(order, epoch_of(other));
}

TEST_F(BatchLoaderTest, EpochEndsInsideABatch) {
  write_shard("a.bin", 0, 13);  // 3 windows
  BatchLoader epochs = one_source(), spanning = one_source();
  auto expected = epoch_of(epochs);
  for (int32_t first : epoch_of(epochs)) expected.push_back(first);
  EXPECT_EQ(next_firsts(spanning, 2), (std::vector<int32_t>{expected[0], expected[1]}));
  EXPECT_EQ(spanning.state(), (LoaderState{0, 2, 3, {}}));
  EXPECT_EQ(next_firsts(spanning, 2), (std::vector<int32_t>{expected[2], expected[3]}));
  EXPECT_EQ(spanning.state(), (LoaderState{1, 1, 3, {}}));
  next_firsts(spanning, 8);
  EXPECT_EQ(spanning.state(), (LoaderState{4, 0, 3, {}}));
}

TEST_F(BatchLoaderTest, RanksShareOneGlobalOrder) {
  write_shard("a.bin", 0, 45);     // 11 windows: epochs end inside micro-batches
  write_shard("b.bin", 1000, 29);  // 7 windows
  const int world_size = 3;
  const int64_t B = 2;
  for (const bool mixed : {false, true}) {
    const auto open = [&](int rank, int ranks) {
      return mixed ? mixture({"a.bin", "b.bin"}, {0.3, 0.7}, rank, ranks) : one_source(1, rank, ranks);
    };
    BatchLoader whole = open(0, 1);
    std::vector<BatchLoader> ranks;
    for (int rank = 0; rank < world_size; ++rank) ranks.push_back(open(rank, world_size));
    for (int step = 0; step < 20; ++step) {
      std::vector<int32_t> joined;
      for (BatchLoader& rank : ranks)
        for (int32_t first : next_firsts(rank, B)) joined.push_back(first);
      ASSERT_EQ(joined, next_firsts(whole, B * world_size)) << "step " << step << ", mixed " << mixed;
      for (BatchLoader& rank : ranks) EXPECT_EQ(rank.state(), whole.state());
    }
  }
}

TEST_F(BatchLoaderTest, RestoreContinuesExactly) {
  write_shard("a.bin", 0, 101);
  write_shard("b.bin", 1000, 61);
  for (const bool mixed : {false, true}) {
    const auto open = [&] { return mixed ? mixture({"a.bin", "b.bin"}, {2, 1}) : one_source(); };
    BatchLoader loader = open(), resumed = open();
    for (int i = 0; i < 9; ++i) next_firsts(loader, 5);
    resumed.restore(loader.state());
    for (int i = 0; i < 9; ++i) EXPECT_EQ(next_firsts(resumed, 5), next_firsts(loader, 5)) << mixed;
  }
}

TEST_F(BatchLoaderTest, SharesHoldFromTheFirstBatchOn) {
  write_shard("a.bin", 0, 401);     // 100 windows, read 2.5 times
  write_shard("b.bin", 1000, 401);  // 100 windows
  write_shard("c.bin", 2000, 401);  // 100 windows
  BatchLoader loader = mixture({"a.bin", "b.bin", "c.bin"}, {5, 3, 2});
  std::map<int32_t, int64_t> read;
  for (int64_t i = 1; i <= 500; ++i) {
    ++read[next_firsts(loader, 1)[0] / 1000];
    for (int32_t s = 0; s < 3; ++s)
      ASSERT_NEAR(static_cast<double>(read[s]), loader.shares()[s] * static_cast<double>(i), 1.5) << i << " of " << s;
  }
  EXPECT_EQ(read, (std::map<int32_t, int64_t>{{0, 250}, {1, 150}, {2, 100}}));
  const auto shares = loader.shares_read(loader.state());
  ASSERT_EQ(shares.size(), 3u);
  EXPECT_EQ(shares[1].first, "b.bin");
  EXPECT_DOUBLE_EQ(shares[1].second, 0.3);
  EXPECT_EQ(loader.state().sources[0].epoch, 2);
  EXPECT_EQ(loader.state().sources[0].position, 50);
}

TEST_F(BatchLoaderTest, EachSourceOfAMixtureIsReadOnceAnEpoch) {
  write_shard("a.bin", 0, 41);      // 10 windows
  write_shard("b.bin", 1000, 121);  // 30 windows
  BatchLoader loader = mixture({"a.bin", "b.bin"}, {10, 30});
  std::multiset<int32_t> read;
  for (int32_t first : next_firsts(loader, 40)) read.insert(first);
  std::multiset<int32_t> all;
  for (int32_t i = 0; i < 10; ++i) all.insert(4 * i);
  for (int32_t i = 0; i < 30; ++i) all.insert(1000 + 4 * i);
  EXPECT_EQ(read, all);
}

// The position of each source's next window, by the source's name.
std::map<std::string, int64_t> places(const BatchLoader& loader) {
  std::map<std::string, int64_t> found;
  const LoaderState state = loader.state();
  for (size_t s = 0; s < state.sources.size(); ++s)
    found[loader.sources()[s].name] = state.sources[s].epoch * state.sources[s].windows + state.sources[s].position;
  return found;
}

TEST_F(BatchLoaderTest, SourcesThatStayContinueWhenOthersComeAndGo) {
  write_shard("a.bin", 0, 81);
  write_shard("b.bin", 1000, 121);
  write_shard("c.bin", 2000, 81);
  BatchLoader before = mixture({"a.bin", "b.bin"}, {1, 1});
  before.identify();
  next_firsts(before, 18);
  BatchLoader after = mixture({"c.bin", "b.bin", "a.bin"}, {1, 1, 2});
  after.identify();
  EXPECT_EQ(after.restore(before.state()), std::vector<std::string>{"c.bin"});
  EXPECT_EQ(places(after), (std::map<std::string, int64_t>{{"a.bin", 9}, {"b.bin", 9}, {"c.bin", 0}}));
  EXPECT_NE(after.state().sources[0].shuffle, after.state().sources[1].shuffle);
  EXPECT_NE(after.state().sources[0].shuffle, after.state().sources[2].shuffle);

  // The windows of each source continue as they would have without the change.
  const auto by_source = [&](BatchLoader& loader, int64_t count) {
    std::map<int32_t, std::vector<int32_t>> read;
    for (const int32_t first : next_firsts(loader, count)) read[first / 1000].push_back(first);
    return read;
  };
  auto expected = by_source(before, 16), found = by_source(after, 16);
  found[0].resize(8);
  expected[1].resize(4);
  EXPECT_EQ(found[0], expected[0]) << "both read the same 8 windows of a.bin";
  EXPECT_EQ(found[1], expected[1]);

  BatchLoader alone = mixture({"b.bin"}, {1});
  alone.identify();
  EXPECT_TRUE(alone.restore(after.state()).empty());
  EXPECT_EQ(alone.state().sources[0].position, 9 + 4);
  EXPECT_EQ(alone.state().sources[0].shuffle, 1);
}

TEST_F(BatchLoaderTest, StatesWithoutIdentitiesContinueByPlace) {
  write_shard("a.bin", 0, 81);
  write_shard("b.bin", 1000, 121);
  BatchLoader old = mixture({"a.bin", "b.bin"}, {1, 1}), now = mixture({"a.bin", "b.bin"}, {1, 1});
  next_firsts(old, 7);
  LoaderState state = old.state();
  for (SourceState& source : state.sources) source.shuffle.reset();
  now.identify();
  EXPECT_TRUE(now.restore(state).empty());
  EXPECT_TRUE(now.state().sources[1].fingerprint);
  EXPECT_EQ(next_firsts(now, 30), next_firsts(old, 30));
}

TEST_F(BatchLoaderTest, RestoreRefusesOtherData) {
  write_shard("a.bin", 0, 101);
  write_shard("b.bin", 1000, 101);
  BatchLoader loader = mixture({"a.bin"}, {1});
  const auto error = [&](const LoaderState& state) { return error_of([&] { loader.restore(state); }); };
  expect_contains(error({0, 3, 24, {}}), "the saved run read 24 windows per epoch, but these shards have 25");
  expect_contains(error({0, 25, 25, {}}), "position 25 of epoch 0 does not exist");
  expect_contains(error({-1, 0, 25, {}}), "does not exist");
  BatchLoader mixed = mixture({"a.bin", "b.bin"}, {1, 1});
  expect_contains(error(mixed.state()), "has 1 source, but the saved run had 2");
  LoaderState state = mixed.state();
  state.sources[1].windows = 24;
  expect_contains(error_of([&] { mixed.restore(state); }),
                  (folder / "b.bin").string() + ": the saved run read 24 windows per epoch");
}

}  // namespace
}  // namespace gptmoe
