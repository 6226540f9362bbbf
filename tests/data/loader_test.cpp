#include "data/loader.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "data/shuffle.h"
#include "support/error_line.h"
#include "support/write_shard.h"

namespace gptmoe {
namespace {

constexpr int64_t T = 4, V = 1000;

struct LoaderTest : testing::Test {
  // Writes a shard of the tokens first, first + 1, ..., so that the first token identifies a window.
  void write_shard(const std::string& name, int32_t first, int64_t count, int64_t vocab_size = V) {
    std::vector<int32_t> tokens(static_cast<size_t>(count));
    std::iota(tokens.begin(), tokens.end(), first);
    gptmoe::write_shard(folder / name, vocab_size, tokens);
  }

  LoaderOptions options(WindowOrder order = WindowOrder::shuffled, uint64_t seed = 1) const {
    return {.shards = (folder / "*.bin").string(), .sequence_length = T, .vocab_size = V, .order = order, .seed = seed};
  }

  // The first token of each row of the next micro-batch; checks that rows are consecutive and targets shifted by one.
  std::vector<int32_t> next_firsts(TokenLoader& loader, int64_t B) {
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

  std::vector<int32_t> epoch_of(TokenLoader& loader) { return next_firsts(loader, loader.windows()); }

  TemporaryFolder folder;
};

TEST_F(LoaderTest, SaysHowToWriteABracketOfAName) {
  std::filesystem::create_directory(folder / "set [v1]");
  write_shard("set [v1]/a.bin", 0, 9);
  LoaderOptions named = options();
  named.shards = (folder / "set [v1]/*.bin").string();
  expect_contains(error_of([&] { TokenLoader{named}; }), "(a pattern has \\[ for a [ in a name)");
  named.shards = (folder / "set \\[v1]/*.bin").string();
  EXPECT_EQ(TokenLoader(named).shards(), 1);
}

// All that read windows of shards do it through the loader.
TEST_F(LoaderTest, RefusesAShardThatIsNotTheOneInTheManifest) {
  write_shard("a.bin", 0, 9);
  write_shard("b.bin", 100, 9);
  write_shard("unlisted.bin", 200, 9);
  seal_shards(folder.path(), {"a.bin", "b.bin"});
  EXPECT_EQ(TokenLoader(options()).shards(), 3);
  std::filesystem::remove(folder / "b.bin");
  write_shard("b.bin", 101, 9);
  EXPECT_EQ(error_of([&] { TokenLoader{options()}; }),
            (folder / "b.bin").string() +
                ": does not match its checksum in manifest.json: it is damaged or was replaced; restore it or write "
                "it again");
}

TEST_F(LoaderTest, TicksWhileItReadsChecksums) {
  write_shard("a.bin", 0, 9);
  write_shard("b.bin", 100, 8);
  const TokenLoader loader(options());
  int ticks = 0;
  const std::vector<uint64_t> checksums = loader.checksums([&] { ++ticks; });
  EXPECT_EQ(ticks, 2);
  ASSERT_EQ(checksums.size(), 2u);
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(checksums[i], loader.shard_files()[i].checksum());
}

TEST_F(LoaderTest, WindowsStayWithinShardsAtStrideT) {
  write_shard("a.bin", 0, 9);     // 2 windows: their 8 targets need 9 tokens
  write_shard("b.bin", 100, 8);   // 1 window; 3 tokens are left over
  write_shard("c.bin", 200, 4);   // none
  write_shard("d.bin", 300, 0);   // none
  write_shard("e.bin", 400, 13);  // 3 windows
  TokenLoader loader(options(WindowOrder::sequential));
  EXPECT_EQ(loader.windows(), 6);
  EXPECT_EQ(loader.tokens(), 34);
  EXPECT_EQ(loader.shards(), 5);
  EXPECT_EQ(epoch_of(loader), (std::vector<int32_t>{0, 4, 100, 400, 404, 408}));

  std::vector<int32_t> inputs(T), targets(T);
  loader.window(3, Tensor(inputs.data(), DType::i32, {T}), Tensor(targets.data(), DType::i32, {T}));
  EXPECT_EQ(inputs, (std::vector<int32_t>{400, 401, 402, 403}));
  EXPECT_EQ(targets, (std::vector<int32_t>{401, 402, 403, 404}));
}

TEST_F(LoaderTest, EveryEpochVisitsEachWindowOnceInAnotherOrder) {
  write_shard("a.bin", 0, 201);
  write_shard("b.bin", 300, 201);
  TokenLoader loader(options());
  ASSERT_EQ(loader.windows(), 100);
  const auto first = epoch_of(loader), second = epoch_of(loader);
  EXPECT_EQ(std::set<int32_t>(first.begin(), first.end()).size(), 100u);
  EXPECT_NE(first, second);
  EXPECT_TRUE(std::is_permutation(first.begin(), first.end(), second.begin()));
  EXPECT_FALSE(std::is_sorted(first.begin(), first.end()));
}

TEST_F(LoaderTest, OrderDependsOnTheSeedOnly) {
  write_shard("a.bin", 0, 401);
  TokenLoader one(options()), same(options()), other(options(WindowOrder::shuffled, 2));
  const auto order = epoch_of(one);
  EXPECT_EQ(order, epoch_of(same));
  EXPECT_NE(order, epoch_of(other));
}

TEST_F(LoaderTest, RanksShareOneGlobalOrder) {
  write_shard("a.bin", 0, 45);  // 11 windows: epochs end inside micro-batches
  TokenLoader whole(options());
  const int world_size = 3;
  const int64_t B = 2;
  std::vector<TokenLoader> ranks;
  for (int rank = 0; rank < world_size; ++rank) {
    LoaderOptions mine = options();
    mine.rank = rank;
    mine.world_size = world_size;
    ranks.emplace_back(mine);
  }
  for (int step = 0; step < 20; ++step) {
    std::vector<int32_t> joined;
    for (TokenLoader& rank : ranks)
      for (int32_t first : next_firsts(rank, B)) joined.push_back(first);
    ASSERT_EQ(joined, next_firsts(whole, B * world_size)) << "step " << step;
    for (TokenLoader& rank : ranks) EXPECT_EQ(rank.state(), whole.state());
  }
}

TEST_F(LoaderTest, EpochEndsInsideABatch) {
  write_shard("a.bin", 0, 13);  // 3 windows
  TokenLoader loader(options(WindowOrder::sequential));
  EXPECT_EQ(next_firsts(loader, 2), (std::vector<int32_t>{0, 4}));
  EXPECT_EQ(loader.state(), (LoaderState{0, 2, 3}));
  EXPECT_EQ(next_firsts(loader, 2), (std::vector<int32_t>{8, 0}));
  EXPECT_EQ(loader.state(), (LoaderState{1, 1, 3}));
  EXPECT_EQ(next_firsts(loader, 8), (std::vector<int32_t>{4, 8, 0, 4, 8, 0, 4, 8}));
  EXPECT_EQ(loader.state(), (LoaderState{4, 0, 3}));

  // Shuffled: a batch that spans two epochs holds the end of one order and the start of the next.
  TokenLoader epochs(options()), spanning(options());
  auto expected = epoch_of(epochs);
  for (int32_t first : epoch_of(epochs)) expected.push_back(first);
  EXPECT_EQ(next_firsts(spanning, 6), expected);
}

TEST_F(LoaderTest, RestoreContinuesExactly) {
  write_shard("a.bin", 0, 101);
  TokenLoader loader(options());
  for (int i = 0; i < 9; ++i) next_firsts(loader, 3);
  const LoaderState state = loader.state();
  TokenLoader resumed(options());
  resumed.restore(state);
  for (int i = 0; i < 9; ++i) EXPECT_EQ(next_firsts(resumed, 3), next_firsts(loader, 3));
}

TEST_F(LoaderTest, RestoreRefusesOtherData) {
  write_shard("a.bin", 0, 101);
  TokenLoader loader(options());
  const std::string error = error_of([&] { loader.restore({0, 3, 24}); });
  expect_contains(error, "the saved run read 24 windows per epoch, but these shards have 25");
  expect_contains(error_of([&] { loader.restore({0, 25, 25}); }), "position 25 of epoch 0 does not exist");
  expect_contains(error_of([&] { loader.restore({-1, 0, 25}); }), "does not exist");
}

TEST_F(LoaderTest, NoFileMatches) {
  const std::string error = error_of([&] { TokenLoader loader(options()); });
  expect_contains(error, (folder / "*.bin").string() + ": no file matches");
}

TEST_F(LoaderTest, NoWindowFits) {
  write_shard("a.bin", 0, 3);
  write_shard("b.bin", 0, 4);
  const std::string error = error_of([&] { TokenLoader loader(options()); });
  expect_contains(error, (folder / "*.bin").string() + ": the longest of 2 shards has 4 tokens");
  expect_contains(error, "sequence_length 4 (a window takes 5)");
}

TEST_F(LoaderTest, IdOutsideTheVocabularyNamesItsPlace) {
  write_shard("a.bin", 0, 9);
  write_shard("b.bin", 996, 9, 2000);  // tokens 996 to 1004; position 4 holds 1000
  TokenLoader loader(options(WindowOrder::sequential));
  next_firsts(loader, 2);
  std::vector<int32_t> inputs(T), targets(T);
  const std::string error = error_of([&] {
    loader.next_batch(Tensor(inputs.data(), DType::i32, {1, T}), Tensor(targets.data(), DType::i32, {1, T}));
  });
  EXPECT_EQ(error, (folder / "b.bin").string() +
                       ": token 4 has id 1000, but model.vocab_size is 1000; raise model.vocab_size or encode the text "
                       "with the model's tokenizer");
}

TEST_F(LoaderTest, IdBeyondInt32IsOutsideTheVocabulary) {
  write_shard("a.bin", 0, 5, 100000);
  std::string bytes = read_text_file(folder / "a.bin");
  bytes.replace(1024 + 4, 4, "\xFF\xFF\xFF\xFF");
  write_text_file(folder / "a.bin", bytes);
  TokenLoader loader(options());
  std::vector<int32_t> inputs(T), targets(T);
  expect_contains(error_of([&] {
                    loader.window(0, Tensor(inputs.data(), DType::i32, {T}), Tensor(targets.data(), DType::i32, {T}));
                  }),
                  "token 1 has id 4294967295");
}

TEST_F(LoaderTest, BatchOfAnotherShapeIsABug) {
  write_shard("a.bin", 0, 50);
  TokenLoader loader(options());
  std::vector<int32_t> memory(100);
  const Tensor wrong(memory.data(), DType::i32, {2, T + 1});
  EXPECT_THROW(loader.next_batch(wrong, wrong), BugError);
}

TEST(ShuffleTest, IsABijectionForEverySize) {
  for (int64_t count = 1; count <= 300; ++count) {
    std::vector<bool> seen(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t to = shuffled_index(i, count, 5, 3);
      ASSERT_TRUE(to >= 0 && to < count);
      ASSERT_FALSE(seen[static_cast<size_t>(to)]) << i << " of " << count;
      seen[static_cast<size_t>(to)] = true;
    }
  }
}

TEST(ShuffleTest, IsABijectionForLargeSizesToo) {
  const int64_t count = (int64_t{1} << 40) + 12345;
  std::set<int64_t> seen;
  for (int64_t i = 0; i < 1000; ++i) seen.insert(shuffled_index(count - 1 - i, count, 5, 3));
  EXPECT_EQ(seen.size(), 1000u);
  EXPECT_GE(*seen.begin(), 0);
  EXPECT_LT(*seen.rbegin(), count);
}

// Over many epochs every window must come first about equally often: with 64 windows and 6,400 epochs, 100 +- 10 times.
TEST(ShuffleTest, FirstPlaceIsUniform) {
  std::vector<int> hits(64);
  for (uint64_t epoch = 0; epoch < 6400; ++epoch) ++hits[static_cast<size_t>(shuffled_index(0, 64, 9, epoch))];
  for (int hit : hits) EXPECT_NEAR(hit, 100, 50);
}

}  // namespace
}  // namespace gptmoe
