#include "data/loader.h"

#include <numeric>

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

  LoaderOptions options() const { return {(folder / "*.bin").string(), T, V}; }

  // The inputs and targets of a window.
  std::pair<std::vector<int32_t>, std::vector<int32_t>> window(const TokenLoader& loader, int64_t index) {
    std::vector<int32_t> inputs(T), targets(T);
    loader.window(index, Tensor(inputs.data(), DType::i32, {T}), Tensor(targets.data(), DType::i32, {T}));
    return {inputs, targets};
  }

  TemporaryFolder folder;
};

TEST_F(LoaderTest, SaysHowToWriteABracketOfAName) {
  std::filesystem::create_directory(folder / "set [v1]");
  write_shard("set [v1]/a.bin", 0, 9);
  LoaderOptions named = options();
  named.shards = (folder / "set [v1]/*.bin").string();
  expect_contains(error_of([&] { TokenLoader{named}; }), "(if a name has a [, write \\[ in the pattern)");
  named.shards = (folder / "set \\[v1]/*.bin").string();
  EXPECT_EQ(TokenLoader(named).shards(), 1);
}

// Everything that reads windows of shards reads them through the loader.
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
  const TokenLoader loader(options());
  EXPECT_EQ(loader.tokens(), 34);
  EXPECT_EQ(loader.shards(), 5);
  ASSERT_EQ(loader.windows(), 6);
  std::vector<int32_t> firsts;
  for (int64_t i = 0; i < 6; ++i) {
    const auto [inputs, targets] = window(loader, i);
    firsts.push_back(inputs[0]);
    for (int32_t t = 0; t < T; ++t) {
      EXPECT_EQ(inputs[t], firsts.back() + t);
      EXPECT_EQ(targets[t], inputs[t] + 1);
    }
  }
  EXPECT_EQ(firsts, (std::vector<int32_t>{0, 4, 100, 400, 404, 408}));
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
  const TokenLoader loader(options());
  EXPECT_EQ(error_of([&] { window(loader, 2); }),
            (folder / "b.bin").string() +
                ": token 4 has id 1000, but model.vocab_size is 1000; raise model.vocab_size or encode the text "
                "with the model's tokenizer");
}

TEST_F(LoaderTest, IdBeyondInt32IsOutsideTheVocabulary) {
  write_shard("a.bin", 0, 5, 100000);
  std::string bytes = read_text_file(folder / "a.bin");
  bytes.replace(1024 + 4, 4, "\xFF\xFF\xFF\xFF");
  write_text_file(folder / "a.bin", bytes);
  const TokenLoader loader(options());
  expect_contains(error_of([&] { window(loader, 0); }), "token 1 has id 4294967295");
}

TEST_F(LoaderTest, WindowOfAnotherLengthIsABug) {
  write_shard("a.bin", 0, 50);
  const TokenLoader loader(options());
  std::vector<int32_t> memory(100);
  const Tensor wrong(memory.data(), DType::i32, {T + 1});
  EXPECT_THROW(loader.window(0, wrong, wrong), BugError);
}

}  // namespace
}  // namespace gptmoe
