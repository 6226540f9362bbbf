#include "data/encode_corpus.h"

#include <map>
#include <nlohmann/json.hpp>

#include "data/bpe_trainer.h"
#include "data/shard_file.h"
#include "helpers.h"

namespace gptmoe {
namespace {

struct EncodeCorpusTest : testing::Test {
  // Documents 0 .. count - 1 as lines of a .jsonl.
  std::string write_documents(int count) {
    std::string lines;
    for (int i = 0; i < count; ++i) lines += nlohmann::json{{"text", document(i)}}.dump() + "\n";
    write_text_file(folder / "in.jsonl", lines);
    return (folder / "in.jsonl").string();
  }
  static std::string document(int i) { return "chapter " + std::to_string(i) + ": the river ran on.\n"; }

  EncodeSummary encode(const std::string& input, EncodeOptions options) {
    options.output = output;
    DocumentReader documents({input});
    return encode_corpus(documents, tokenizer, options);
  }
  std::vector<int32_t> shard_tokens(const std::string& name) {
    const Shard shard(output / name);
    std::vector<int32_t> tokens(static_cast<size_t>(shard.size()));
    shard.copy(0, shard.size(), tokens.data());
    return tokens;
  }
  std::string shard_text(const std::string& name) { return tokenizer.decode(shard_tokens(name)); }
  int shards() {
    int count = 0;
    if (!std::filesystem::exists(output)) return 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(output)) ++count;
    return count;
  }

  TemporaryFolder folder;
  std::filesystem::path output = folder / "out";
  Tokenizer tokenizer = [] {
    BpeTrainer trainer;
    trainer.add("chapter the river ran on. chapter the river ran on.");
    return trainer.train(300);
  }();
};

TEST_F(EncodeCorpusTest, DocumentsStandInOrderEachWithItsEnd) {
  const EncodeSummary summary = encode(write_documents(3), {});
  EXPECT_EQ(shard_text("train_000000.bin"),
            document(0) + "<|endoftext|>" + document(1) + "<|endoftext|>" + document(2) + "<|endoftext|>");
  EXPECT_EQ(shard_tokens("train_000000.bin").back(), tokenizer.end_of_text());
  EXPECT_EQ(summary.documents, 3);
  EXPECT_EQ(summary.val_documents, 0);
  EXPECT_EQ(summary.bytes, std::ssize(document(0)) * 3);
  EXPECT_EQ(summary.train_tokens, std::ssize(shard_tokens("train_000000.bin")));
  EXPECT_EQ(summary.train_shards, 1);
  EXPECT_EQ(shards(), 1);
}

TEST_F(EncodeCorpusTest, ShardsAreFilledToTheToken) {
  encode(write_documents(20), {});
  const auto whole = shard_tokens("train_000000.bin");
  std::filesystem::remove_all(output);
  const int64_t size = std::ssize(whole) / 3;  // leaves 0 to 2 tokens over
  const EncodeSummary summary = encode(write_documents(20), {.shard_tokens = size});
  EXPECT_EQ(summary.train_shards, std::ssize(whole) % 3 ? 4 : 3);
  std::vector<int32_t> joined;
  for (int64_t i = 0; i < summary.train_shards; ++i) {
    const auto part = shard_tokens("train_00000" + std::to_string(i) + ".bin");
    if (i < 3) {
      EXPECT_EQ(std::ssize(part), size);
    }
    joined.insert(joined.end(), part.begin(), part.end());
  }
  EXPECT_EQ(joined, whole);
}

TEST_F(EncodeCorpusTest, SplitIsAShareOfDocuments) {
  const EncodeSummary summary = encode(write_documents(1000), {.val_fraction = 0.05});
  EXPECT_GE(summary.val_documents, 25);
  EXPECT_LE(summary.val_documents, 80);
  const std::string train = shard_text("train_000000.bin"), val = shard_text("val_000000.bin");
  for (int i = 0; i < 1000; ++i) {
    const bool in_val = split_position(document(i)) < 0.05;
    ASSERT_EQ(val.find(document(i)) != std::string::npos, in_val) << i;
    ASSERT_EQ(train.find(document(i)) != std::string::npos, !in_val) << i;
  }
}

TEST(SplitPositionTest, IsUniformEvenOverSimilarDocuments) {
  std::vector<int> tenths(10);
  for (int i = 0; i < 10000; ++i) ++tenths[static_cast<size_t>(split_position("Chapter " + std::to_string(i)) * 10)];
  for (int count : tenths) EXPECT_NEAR(count, 1000, 150);
  EXPECT_EQ(split_position("Chapter 1"), split_position("Chapter 1"));
}

TEST_F(EncodeCorpusTest, EmptyValidationNamesTheFractionThatHelps) {
  const std::string input = write_documents(5);
  double lowest = 1;
  for (int i = 0; i < 5; ++i) lowest = std::min(lowest, split_position(document(i)));
  ASSERT_GT(lowest, 0.002);
  const std::string error = error_of([&] { encode(input, {.val_fraction = lowest / 2}); });
  expect_contains(error, "none of the 5 documents fell into validation; give --val-fraction ");
  EXPECT_EQ(shards(), 0);
  const double advised = std::stod(error.substr(error.find("; give --val-fraction ") + 22));
  EXPECT_EQ(encode(input, {.val_fraction = advised}).val_documents, 1);
}

TEST_F(EncodeCorpusTest, EverythingInValidation) {
  expect_contains(error_of([&] { encode(write_documents(2), {.val_fraction = 0.99999}); }),
                  "all of the 2 documents fell into validation");
  EXPECT_EQ(shards(), 0);
}

TEST_F(EncodeCorpusTest, OneDocumentCannotBeSplit) {
  const std::string error = error_of([&] { encode(write_documents(1), {.val_fraction = 0.1}); });
  expect_contains(error, "--val-fraction 0.1: the input is one document");
  expect_contains(error, ".jsonl with one document a line");
  EXPECT_EQ(shards(), 0);
}

TEST_F(EncodeCorpusTest, OldShardsAreNotMixedIn) {
  encode(write_documents(3), {});
  expect_contains(error_of([&] { encode(write_documents(2), {}); }),
                  (output / "train_000000.bin").string() + ": shards of an earlier encoding are here");
  EXPECT_EQ(shards(), 1);
}

TEST_F(EncodeCorpusTest, FailureHalfwayLeavesNoShard) {
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += nlohmann::json{{"text", document(i)}}.dump() + "\n";
  write_text_file(folder / "in.jsonl", lines + "{broken\n");
  expect_contains(error_of([&] { encode((folder / "in.jsonl").string(), {.shard_tokens = 50}); }), "line 101");
  EXPECT_EQ(shards(), 0);
}

TEST_F(EncodeCorpusTest, BadOptions) {
  const std::string input = write_documents(3);
  for (double fraction : {-0.1, 1.0, std::nan("")})
    expect_contains(error_of([&] { encode(input, {.val_fraction = fraction}); }), "--val-fraction");
  for (int64_t tokens : {int64_t{0}, int64_t{1} << 31})
    expect_contains(error_of([&] { encode(input, {.shard_tokens = tokens}); }),
                    "--shard-tokens " + std::to_string(tokens));
  BpeTrainer trainer;
  tokenizer = trainer.train(256, {});
  expect_contains(error_of([&] { encode(input, {}); }), "the tokenizer has no <|endoftext|> token");
  write_text_file(folder / "file", "");
  output = folder / "file";
  tokenizer = trainer.train(257);
  expect_contains(error_of([&] { encode(input, {}); }), (folder / "file").string() + ": not a folder");
}

}  // namespace
}  // namespace gptmoe
