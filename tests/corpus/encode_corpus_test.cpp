#include "corpus/encode_corpus.h"

#include <cmath>

#include "corpus/encode_fixture.h"

namespace gptmoe {
namespace {

struct EncodeCorpusTest : EncodeFixture {
  // Writes a text of `words` words, which is read in many pieces.
  std::string write_long_text(const std::string& name, int words) {
    std::string text;
    for (int i = 0; i < words; ++i) text += "river" + std::to_string(i % 97) + (i % 11 ? " " : ".\n");
    write_text_file(folder / name, text);
    return (folder / name).string();
  }
};

TEST_F(EncodeCorpusTest, DocumentsAreInOrderEachFollowedByEndOfText) {
  const JobSummary summary = encode(write_documents(3), {});
  EXPECT_EQ(shard_text("train_000000.bin"),
            document(0) + "<|endoftext|>" + document(1) + "<|endoftext|>" + document(2) + "<|endoftext|>");
  EXPECT_EQ(shard_tokens("train_000000.bin").back(), tokenizer.end_of_text());
  EXPECT_EQ(summary.outcome, JobOutcome::done);
  EXPECT_EQ(summary.train.counts.documents, 3);
  EXPECT_EQ(summary.val.counts.documents, 0);
  EXPECT_EQ(summary.bytes(), std::ssize(document(0)) * 3);
  EXPECT_EQ(summary.train.counts.tokens, std::ssize(shard_tokens("train_000000.bin")));
  ASSERT_EQ(summary.train.shards.finished.size(), 1u);
  EXPECT_EQ(summary.train.shards.finished[0].tokens, summary.train.counts.tokens);
  ShardSeals seals;  // what the manifest says
  const std::filesystem::path shard = output / "train_000000.bin";
  ASSERT_TRUE(seals.find(shard));
  EXPECT_EQ(*seals.find(shard), summary.train.shards.finished[0].seal);
  EXPECT_EQ(seals.find(shard)->checksum, checksum_text(tokens_checksum(shard).value()));
  EXPECT_EQ(seals.find(shard)->samples, checksum_text(Shard(shard).checksum()));
  EXPECT_EQ(content(output).size(), 2u) << "a shard and the manifest";
}

TEST_F(EncodeCorpusTest, ShardsHaveExactlyTheRequestedSize) {
  encode(write_documents(20), {});
  const auto whole = shard_tokens("train_000000.bin");
  std::filesystem::remove_all(output);
  const int64_t size = std::ssize(whole) / 3;  // leaves 0 to 2 tokens for a last shard
  const JobSummary summary = encode(write_documents(20), {.shard_tokens = size});
  const auto shards = std::ssize(summary.train.shards.finished);
  EXPECT_EQ(shards, std::ssize(whole) % 3 ? 4 : 3);
  std::vector<int32_t> joined;
  for (int64_t i = 0; i < shards; ++i) {
    const auto part = shard_tokens("train_00000" + std::to_string(i) + ".bin");
    EXPECT_EQ(std::ssize(part), summary.train.shards.finished[static_cast<size_t>(i)].tokens);
    if (i < 3) {
      EXPECT_EQ(std::ssize(part), size);
    }
    joined.insert(joined.end(), part.begin(), part.end());
  }
  EXPECT_EQ(joined, whole);
}

TEST_F(EncodeCorpusTest, ValidationIsAShareOfTheDocuments) {
  const JobSummary summary = encode(write_documents(1000), {.val_fraction = 0.05});
  EXPECT_GE(summary.val.counts.documents, 25);
  EXPECT_LE(summary.val.counts.documents, 80);
  const std::string train = shard_text("train_000000.bin"), val = shard_text("val_000000.bin");
  for (int i = 0; i < 1000; ++i) {
    const bool in_val = split_position(document(i)) < 0.05;
    ASSERT_EQ(val.find(document(i)) != std::string::npos, in_val) << i;
    ASSERT_EQ(train.find(document(i)) != std::string::npos, !in_val) << i;
  }
}

TEST_F(EncodeCorpusTest, FilesForValidationFillItsShards) {
  val_inputs = {write_long_text("val.txt", 40), write_documents(3, "val.jsonl")};
  const JobSummary summary = encode(write_documents(5), {.threads = 3});
  EXPECT_EQ(summary.train.counts.documents, 5);
  EXPECT_EQ(summary.val.counts.documents, 4);
  std::string train, val = read_text_file(val_inputs[0]) + "<|endoftext|>";
  for (int i = 0; i < 5; ++i) train += document(i) + "<|endoftext|>";
  for (int i = 0; i < 3; ++i) val += document(i) + "<|endoftext|>";
  EXPECT_EQ(shard_text("train_000000.bin"), train);
  EXPECT_EQ(shard_text("val_000000.bin"), val);
  ShardSeals seals;
  EXPECT_TRUE(seals.find(output / "val_000000.bin"));
}

TEST_F(EncodeCorpusTest, BadFilesForValidationAreRefused) {
  const std::string train = write_documents(5);
  const auto refusal = [&](const std::string& val, double fraction = 0) {
    val_inputs = {val};
    return error_of([&] { encode(train, {.val_fraction = fraction}); });
  };
  expect_contains(refusal(train), "in.jsonl: named by --input and by --val; name it once");
  expect_contains(refusal((folder / "none.txt").string()), "none.txt: no such file or folder; correct --val");
  expect_contains(refusal(write_documents(2, "val.jsonl"), 0.5), "--val and --val-fraction: both choose");
  write_text_file(folder / "empty.txt", "");
  EXPECT_EQ(refusal((folder / "empty.txt").string()), "no document with text in it among those of --val");
  val_inputs = {train};
  EXPECT_EQ(error_of([&] { encode((folder / "empty.txt").string(), {}); }),
            "no document with text in it among those of --input");
  EXPECT_FALSE(std::filesystem::exists(output)) << "nothing is left behind";
}

TEST(SplitPositionTest, IsUniformEvenOverSimilarDocuments) {
  std::vector<int> tenths(10);
  for (int i = 0; i < 10000; ++i) ++tenths[static_cast<size_t>(split_position("Chapter " + std::to_string(i)) * 10)];
  for (int count : tenths) EXPECT_NEAR(count, 1000, 150);
}

TEST(SplitPositionTest, KeepsItsRecordedValues) {
  EXPECT_EQ(split_position("Chapter 1"), 0x1p-53 * 6554536538402349);
  EXPECT_EQ(split_position(""), 0x1p-53 * 2298062010738111);
}

TEST_F(EncodeCorpusTest, ThreadsAndBatchesChangeNothing) {
  const std::vector<std::string> inputs = {write_documents(300, "a.jsonl"), write_long_text("b.txt", 4000),
                                           write_documents(200, "c.jsonl"), write_long_text("d.txt", 1000)};
  const EncodeOptions options{.output = folder / "whole", .val_fraction = 0.3, .shard_tokens = 8000};
  encode(inputs, options);
  for (int threads : {1, 2, 5})
    for (int64_t bytes : {128, 1000, 30000}) {
      EncodeOptions other = options;
      other.output = folder / text(threads, "_", bytes);
      other.threads = threads;
      batch_bytes = bytes;
      encode(inputs, other);
      expect_same_files(other.output, options.output);
    }
}

TEST_F(EncodeCorpusTest, ADocumentInPiecesIsOneDocument) {
  batch_bytes = 200;
  std::vector<std::string> inputs;
  std::string expected_train, expected_val;
  for (int i = 0; i < 8; ++i) {
    inputs.push_back(write_long_text(text("long", i, ".txt"), 300 + i));
    const std::string document = read_text_file(inputs.back());
    (split_position(document) < 0.5 ? expected_val : expected_train) += document + "<|endoftext|>";
  }
  const JobSummary summary = encode(inputs, {.val_fraction = 0.5, .threads = 3});
  EXPECT_EQ(summary.documents(), 8);
  ASSERT_GT(summary.val.counts.documents, 0);
  EXPECT_EQ(shard_text("train_000000.bin"), expected_train);
  EXPECT_EQ(shard_text("val_000000.bin"), expected_val);
}

TEST_F(EncodeCorpusTest, ALargeVocabularyTakesFourBytesPerToken) {
  Vocabulary vocabulary = tokenizer.vocabulary();
  while (vocabulary.tokens.size() < 65537) {
    vocabulary.added.push_back({static_cast<int32_t>(vocabulary.tokens.size()), true});
    vocabulary.tokens.push_back(text("<|", vocabulary.tokens.size(), "|>"));
  }
  const std::string input = write_documents(30);
  encode(input, {});
  const auto tokens = shard_tokens("train_000000.bin");
  tokenizer.~Tokenizer();
  new (&tokenizer) Tokenizer(std::move(vocabulary));
  output = folder / "large";
  encode(input, {.threads = 2});
  EXPECT_EQ(Shard(output / "train_000000.bin").format().token_bytes, 4);
  EXPECT_EQ(shard_tokens("train_000000.bin"), tokens);
}

TEST_F(EncodeCorpusTest, CountingAgreesWithEncoding) {
  const std::vector<std::string> inputs = {write_documents(300), write_long_text("b.txt", 4000)};
  const JobSummary encoded = encode(inputs, {});
  batch_bytes = 500;
  DocumentReader documents({.paths = inputs}, batch_bytes);
  TextCounts counts;
  encode_batches(documents, tokenizer, {.threads = 3},
                 [&](const EncodedBatch& batch) { counts += batch.train.counts; });
  EXPECT_EQ(counts, encoded.train.counts);
  EXPECT_EQ(counts.documents, 301);
}

TEST_F(EncodeCorpusTest, EmptyValidationNamesTheFractionThatHelps) {
  const std::string input = write_documents(5);
  double lowest = 1;
  for (int i = 0; i < 5; ++i) lowest = std::min(lowest, split_position(document(i)));
  ASSERT_GT(lowest, 0.002);
  const std::string error = error_of([&] { encode(input, {.val_fraction = lowest / 2}); });
  expect_contains(error, "none of the 5 documents fell into validation; give --val-fraction ");
  EXPECT_FALSE(std::filesystem::exists(output));
  const double advised = std::stod(error.substr(error.find("; give --val-fraction ") + 22));
  EXPECT_EQ(encode(input, {.val_fraction = advised}).val.counts.documents, 1);
}

TEST_F(EncodeCorpusTest, ASplitWithoutTrainingDocumentsIsRefused) {
  expect_contains(error_of([&] { encode(write_documents(2), {.val_fraction = 0.99999}); }),
                  "all of the 2 documents fell into validation");
  EXPECT_FALSE(std::filesystem::exists(output));
}

TEST_F(EncodeCorpusTest, OneDocumentCannotBeSplit) {
  const std::string error = error_of([&] { encode(write_documents(1), {.val_fraction = 0.1}); });
  expect_contains(error, "--val-fraction 0.1: the input is one document");
  expect_contains(error, ".jsonl with one document per line");
  EXPECT_FALSE(std::filesystem::exists(output));
}

TEST_F(EncodeCorpusTest, ARefusedSplitLeavesNoCheckpoints) {
  std::filesystem::create_directory(output);
  expect_contains(error_of([&] {
                    encode(write_documents(20), {.val_fraction = 1e-9, .shard_tokens = 100, .checkpoint_seconds = 0});
                  }),
                  "none of the 20 documents fell into validation");
  EXPECT_TRUE(content(output).empty());
}

TEST_F(EncodeCorpusTest, OldShardsAreNotMixedIn) {
  std::filesystem::create_directory(output);
  write_text_file(output / "val_old.bin", "x");
  expect_contains(error_of([&] { encode(write_documents(2), {}); }),
                  (output / "val_old.bin").string() + ": this folder holds shards of an earlier encoding");
  EXPECT_EQ(content(output).size(), 1u);
}

TEST_F(EncodeCorpusTest, InputWithoutTextLeavesNothing) {
  write_text_file(folder / "in.jsonl", "\n{\"text\": \"\"}\n");
  expect_contains(error_of([&] { encode((folder / "in.jsonl").string(), {}); }),
                  "no document with text in it among 1 input file; check --input and --field");
  output = folder / "deep" / "er";
  skip_errors = true;
  write_text_file(folder / "in.jsonl", "{broken\n");
  expect_contains(error_of([&] { encode((folder / "in.jsonl").string(), {}); }), "(1 error skipped, the first: ");
  EXPECT_FALSE(std::filesystem::exists(folder / "deep"));
}

TEST_F(EncodeCorpusTest, FailureHalfwayLeavesNothing) {
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += json_line(document(i));
  write_text_file(folder / "in.jsonl", lines + "{broken\n");
  expect_contains(error_of([&] { encode((folder / "in.jsonl").string(), {.shard_tokens = 50}); }), "line 101");
  EXPECT_FALSE(std::filesystem::exists(output));
}

TEST_F(EncodeCorpusTest, SkippedErrorsAreCountedAndListed) {
  std::string lines;
  for (int i = 0; i < 30; ++i) lines += json_line(document(i)) + "{broken\n";
  write_text_file(folder / "in.jsonl", lines);
  skip_errors = true;
  const JobSummary summary = encode((folder / "in.jsonl").string(), {});
  EXPECT_EQ(summary.documents(), 30);
  EXPECT_EQ(summary.skipped.count, 30);
  ASSERT_EQ(summary.skipped.first.size(), 20u);
  expect_contains(summary.skipped.first[19], "line 40");
}

TEST_F(EncodeCorpusTest, BadOptions) {
  const std::string input = write_documents(3);
  for (double fraction : {-0.1, 1.0, std::nan("")})
    expect_contains(error_of([&] { encode(input, {.val_fraction = fraction}); }), "--val-fraction");
  for (int64_t tokens : {int64_t{0}, int64_t{1} << 31})
    expect_contains(error_of([&] { encode(input, {.shard_tokens = tokens}); }),
                    "--shard-tokens " + std::to_string(tokens));
  write_text_file(folder / "file", "");
  output = folder / "file";
  expect_contains(error_of([&] { encode(input, {}); }), (folder / "file").string() + ": cannot create this folder");
  output = folder / "file" / "below";
  expect_contains(error_of([&] { encode(input, {}); }),
                  (folder / "file/below").string() + ": cannot create this folder");
}

TEST_F(EncodeCorpusTest, ATokenizerWithoutEndOfTextIsRefused) {
  Vocabulary vocabulary = tokenizer.vocabulary();
  vocabulary.end_of_text.reset();
  const Tokenizer endless(std::move(vocabulary));
  DocumentReader documents({.paths = {write_documents(3)}});
  expect_contains(error_of([&] { encode_corpus(documents, endless, {.output = output}); }),
                  "the tokenizer has no <|endoftext|> token");
  EXPECT_FALSE(std::filesystem::exists(output));
}

TEST_F(EncodeCorpusTest, ATokenThatSpansWordsNeedsWholeDocuments) {
  Vocabulary vocabulary = tokenizer.vocabulary();
  vocabulary.added.push_back({static_cast<int32_t>(vocabulary.tokens.size()), false});
  vocabulary.tokens.emplace_back("river ran");
  const Tokenizer joining(std::move(vocabulary));
  const std::string input = write_long_text("b.txt", 1000);
  DocumentReader pieces({.paths = {input}}, 200), whole({.paths = {input}});
  expect_contains(error_of([&] { encode_corpus(pieces, joining, {.output = output}); }),
                  input + ": this tokenizer has a token of several words");
  EXPECT_EQ(encode_corpus(whole, joining, {.output = output}).documents(), 1);
}

TEST(BatchWeight, ALineOfSeveralMiBIsProcessedAlone) {
  TextBatch batch;
  batch.bytes.assign(size_t{1} << 20, 'x');
  EXPECT_LT(batch_weight(batch), kBytesInFlight / 15);
  batch.bytes.assign(size_t{4} << 20, 'x');
  EXPECT_GT(batch_weight(batch), kBytesInFlight);
  batch.bytes.clear();
  batch.errors.assign(100, "an error");
  EXPECT_GT(batch_weight(batch), 0);
}

}  // namespace
}  // namespace gptmoe
