// Ids in other programs' layouts become the shards that encoding their text gives.
#include "corpus/import_tokens.h"

#include <sys/stat.h>

#include "corpus/encode_fixture.h"
#include "corpus/token_layouts.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

struct ImportTest : EncodeFixture {
  ImportTest() {
    for (int i = 0; i < kDocuments; ++i) documents.push_back(tokenizer.encode(document(i)));
  }
  JobSummary import_ids(std::vector<std::string> inputs, ImportOptions options = {}) {
    for (std::string& input : inputs) input = folder / input;
    for (std::string& input : options.val_inputs) input = folder / input;
    options.inputs = std::move(inputs);
    if (options.output.empty()) options.output = output;
    if (options.vocab_size == 0) options.tokenizer = &tokenizer;
    return import_tokens(options);
  }
  std::string refusal(const std::vector<std::string>& inputs, const ImportOptions& options = {}) {
    std::string line = error_of([&] { import_ids(inputs, options); });
    EXPECT_FALSE(fs::exists(output));
    if (const std::string start = (folder.path() / "").string(); line.starts_with(start)) line.erase(0, start.size());
    return line;
  }
  // The documents from `begin` up to `end` in a row, each followed by the end-of-text token.
  std::vector<int32_t> ids(int begin = 0, int end = kDocuments) const {
    std::vector<int32_t> all;
    for (int i = begin; i < end; ++i) {
      all.insert(all.end(), documents[static_cast<size_t>(i)].begin(), documents[static_cast<size_t>(i)].end());
      all.push_back(end_id());
    }
    return all;
  }
  int32_t end_id() const { return *tokenizer.end_of_text(); }
  void write(const std::string& name, const std::string& bytes) { write_text_file(folder / name, bytes); }
  // Expects the same shards, whatever the manifests say.
  void expect_same_shards(const fs::path& found, const fs::path& expected) {
    fs::remove(found / "manifest.json");
    fs::remove(expected / "manifest.json");
    expect_same_files(found, expected);
  }

  static constexpr int kDocuments = 60;
  std::vector<std::vector<int32_t>> documents;
};

TEST_F(ImportTest, EveryLayoutGivesTheShardsOfTheText) {
  encode(write_documents(kDocuments), {.output = folder / "encoded", .shard_tokens = 200});
  const auto encoded = content(folder / "encoded");
  const auto check = [&](const std::string& input, ImportOptions options) {
    options.output = folder / "imported";
    options.shard_tokens = 200;
    const JobSummary summary = import_ids({input}, options);
    EXPECT_EQ(summary.documents(), kDocuments) << input;
    EXPECT_EQ(summary.bytes(), std::ssize([&] {
                std::string text;
                for (int i = 0; i < kDocuments; ++i) text += document(i);
                return text;
              }()));
    fs::remove(options.output / "manifest.json");
    auto shards = encoded;
    shards.erase("manifest.json");
    ASSERT_GT(shards.size(), 2u);
    EXPECT_TRUE(content(options.output) == shards) << input;
    fs::remove_all(options.output);
  };
  write("train.bin", bytes_of<uint16_t>(ids()));
  check("train.bin", {.format = "nanogpt"});
  write("wide.bin", bytes_of<uint32_t>(ids()));
  check("wide.bin", {.format = "nanogpt", .type = "uint32"});
  write("part-0.npy", bytes_of<uint16_t>(ids()));
  check("part-0.npy", {});
  write("saved.npy", npy("'<i8'", text("(", ids().size(), ",)"), bytes_of<int64_t>(ids())));
  check("saved.npy", {});
  write_megatron<uint16_t>(folder / "plain", 8, documents);
  auto ended = documents;
  for (auto& document : ended) document.push_back(end_id());
  write_megatron<int32_t>(folder / "ended", 4, ended);
  for (const char* input : {"plain.bin", "plain.idx", "plain", "plain.*", "ended.bin"}) check(input, {});
}

TEST_F(ImportTest, FilesFollowOneAnotherAndEachEndsADocument) {
  std::vector<int32_t> first = ids(0, 20);
  first.pop_back();
  write("a.npy", bytes_of<uint16_t>(first));
  write("b.npy", bytes_of<uint16_t>(ids(20, 60)));
  EXPECT_EQ(import_ids({"*.npy"}).documents(), kDocuments);
  EXPECT_EQ(shard_tokens("train_000000.bin"), ids());
}

TEST_F(ImportTest, WithoutAnEndTheIdsAreCopiedAsTheyAre) {
  write("a.bin", bytes_of<uint16_t>(std::vector{1, 2, 3}));
  const JobSummary plain = import_ids({"a.bin"}, {.format = "nanogpt", .vocab_size = 300});
  EXPECT_EQ(shard_tokens("train_000000.bin"), (std::vector{1, 2, 3}));
  EXPECT_EQ(plain.train.counts, (TextCounts{0, 0, 3}));
  write_megatron<uint16_t>(folder / "m", 8, {{1, 2}, {}, {3}, {}});
  output = folder / "m_out";
  EXPECT_EQ(import_ids({"m"}, {.vocab_size = 300}).train.counts, (TextCounts{2, 0, 3}));
  EXPECT_EQ(shard_tokens("train_000000.bin"), (std::vector{1, 2, 3}));
  output = folder / "m_end";
  EXPECT_EQ(import_ids({"m"}, {.vocab_size = 300, .end = 3}).train.counts, (TextCounts{2, 0, 4}));
  EXPECT_EQ(shard_tokens("train_000000.bin"), (std::vector{1, 2, 3, 3}));
}

TEST_F(ImportTest, ALargeVocabularyMakesWideShards) {
  write("a.bin", bytes_of<uint32_t>(std::vector{1, 70000}));
  import_ids({"a.bin"}, {.format = "nanogpt", .vocab_size = 100000});
  EXPECT_EQ(Shard(output / "train_000000.bin").format().token_bytes, 4);
  EXPECT_EQ(shard_tokens("train_000000.bin"), (std::vector{1, 70000}));
}

TEST_F(ImportTest, ValidationFilesHaveShardsOfTheirOwn) {
  write("train.bin", bytes_of<uint16_t>(ids(0, 50)));
  write("val.bin", bytes_of<uint16_t>(ids(50, 60)));
  const JobSummary summary = import_ids({"train.bin"}, {.val_inputs = {"val.bin"}, .format = "nanogpt"});
  EXPECT_EQ(summary.val.counts.documents, 10);
  EXPECT_EQ(shard_tokens("train_000000.bin"), ids(0, 50));
  EXPECT_EQ(shard_tokens("val_000000.bin"), ids(50, 60));
}

TEST_F(ImportTest, ADocumentIsOnOneSideWhateverItsLayout) {
  write("a.npy", bytes_of<uint16_t>(ids()));
  const JobSummary summary = import_ids({"a.npy"}, {.val_fraction = 0.3});
  EXPECT_GE(summary.val.counts.documents, 8);
  EXPECT_LE(summary.val.counts.documents, 30);
  EXPECT_EQ(summary.documents(), kDocuments);
  const std::string train = shard_text("train_000000.bin"), val = shard_text("val_000000.bin");
  for (int i = 0; i < kDocuments; ++i)
    EXPECT_NE(train.find(document(i)) == std::string::npos, val.find(document(i)) == std::string::npos) << i;
  write_megatron<int64_t>(folder / "m", 5, documents);
  import_ids({"m.bin"}, {.output = folder / "other", .val_fraction = 0.3});
  expect_same_shards(folder / "other", output);
}

TEST_F(ImportTest, LongDocumentsAreSplitAndCountedOnce) {
  std::vector<int32_t> all;
  for (int i = 0; i < 7; ++i) {
    all.insert(all.end(), i == 3 ? 5'000'000 : 300'000, 10 + i);
    all.push_back(end_id());
  }
  write("long.npy", bytes_of<uint16_t>(all));
  const JobSummary summary = import_ids({"long.npy"}, {.val_fraction = 0.5, .shard_tokens = 250000});
  EXPECT_EQ(summary.documents(), 7);
  EXPECT_EQ(summary.tokens(), std::ssize(all));
  std::vector<int32_t> sides[2];
  for (const char* side : {"train", "val"})
    for (const fs::path& shard : glob_files((output / (side + std::string("_*.bin"))).string())) {
      const auto tokens = shard_tokens(shard.filename());
      auto& ids = sides[side == std::string("val")];
      ids.insert(ids.end(), tokens.begin(), tokens.end());
    }
  EXPECT_EQ(std::count(sides[0].begin(), sides[0].end(), end_id()), summary.train.counts.documents);
  for (int i = 0; i < 7; ++i) {
    const int64_t length = i == 3 ? 5'000'000 : 300'000;
    const int64_t train = std::count(sides[0].begin(), sides[0].end(), 10 + i);
    const int64_t val = std::count(sides[1].begin(), sides[1].end(), 10 + i);
    EXPECT_TRUE((train == length && val == 0) || (train == 0 && val == length)) << i << ": " << train << " " << val;
  }
}

TEST_F(ImportTest, ContinuesAfterAStop) {
  std::vector<std::vector<int32_t>> long_documents;
  std::vector<int32_t> all;
  for (int i = 0; i < 9; ++i) {
    long_documents.emplace_back(300000 + i, 10 + i);
    long_documents.emplace_back();
    all.insert(all.end(), 300000 + static_cast<size_t>(i), 10 + i);
    all.push_back(end_id());
  }
  write_megatron<uint16_t>(folder / "m", 8, long_documents);
  write("n.npy", bytes_of<uint16_t>(all));
  for (double fraction : {0.0, 0.4}) {
    const ImportOptions whole{
        .output = folder / text("whole", fraction), .val_fraction = fraction, .shard_tokens = 700000};
    import_ids({"m.bin", "n.npy"}, whole);
    ImportOptions job = whole;
    job.output = folder / text("stopped", fraction);
    job.stop = [] { return true; };
    int runs = 1;
    while (import_ids({"m.bin", "n.npy"}, job).outcome == JobOutcome::stopped) ASSERT_LT(++runs, 100);
    EXPECT_GT(runs, 5);
    expect_same_files(job.output, whole.output);
    EXPECT_EQ(import_ids({"m.bin", "n.npy"}, whole).outcome, JobOutcome::was_done);
  }
}

TEST_F(ImportTest, AnotherJobIsRefused) {
  write("a.npy", bytes_of<uint16_t>(ids()));
  import_ids({"a.npy"});
  const std::string start = (output / "manifest.json").string() + ": the shards here were started ";
  const auto refuse = [&](const ImportOptions& options, const std::string& line) {
    expect_contains(error_of([&] { import_ids({"a.npy"}, options); }), start + line);
  };
  refuse({.vocab_size = 300}, "with --tokenizer, but now --tokenizer is not given");
  refuse({.end = 5}, "with --end-of-text <|endoftext|>, but now it is ");
  refuse({.format = "olmo"}, "without --format, but now --format olmo is given");
  refuse({.type = "uint16"}, "without --dtype, but now --dtype uint16 is given");
  write("b.npy", bytes_of<uint16_t>(ids()));
  refuse({.val_inputs = {"b.npy"}}, "without --val, but now --val 1 file is given");
  write("a.npy", bytes_of<uint16_t>(ids(0, 9)));
  refuse({}, "with input file 1 ");
  expect_contains(error_of([&] { encode(write_documents(kDocuments), {}); }),
                  start + "with the command import, but now it is encode");
}

TEST_F(ImportTest, AChangedIndexIsAnotherInput) {
  write_megatron<uint16_t>(folder / "m", 8, {{1, 2}, {3}});
  import_ids({"m"});
  MegatronFields index;
  for (int document = 0; document < 3; ++document) index.add(1, 2);
  write("m.idx", index.bytes());
  expect_contains(error_of([&] { import_ids({"m"}); }), "were started with input file 2 ");
}

TEST_F(ImportTest, BadInputsLeaveNothing) {
  write("a.bin", bytes_of<uint16_t>(ids()));
  write("a.npy", bytes_of<uint16_t>(ids()));
  write_megatron<uint16_t>(folder / "m", 8, {{1, 2}, {3}});
  fs::create_directory(folder / "sub");
  EXPECT_EQ(refusal({"none.bin"}), "none.bin: no such file; correct the input");
  EXPECT_EQ(refusal({"sub"}), "sub: a folder; name the files in it, such as '" + (folder / "sub/*.npy").string() + "'");
  EXPECT_EQ(refusal({"a.npy", "a.npy"}), "a.npy: named twice; name it once");
  EXPECT_EQ(refusal({"a.npy"}, {.val_inputs = {"./a.npy"}}), "./a.npy: named for training and by --val; name it once");
  EXPECT_EQ(refusal({"m.bin"}, {.val_inputs = {"m.idx"}}), "m.bin: named for training and by --val; name it once");
  expect_contains(refusal({"a.npy", "a.bin"}), "a.bin: cannot tell the format");
  EXPECT_EQ(refusal({"a.npy"}, {.val_inputs = {"m"}, .val_fraction = 0.1}),
            "--val and --val-fraction: both choose the validation data; give one of them");
  expect_contains(refusal({"a.npy"}, {.vocab_size = -1}), "--vocab-size -1: give 1 to ");
  EXPECT_EQ(refusal({"a.npy"}, {.vocab_size = 300, .end = 300}), "--eot 300: give an id from 0 to 299");
  EXPECT_EQ(
      refusal({"a.npy"}, {.vocab_size = 300, .val_fraction = 0.1}),
      "a.npy: --val-fraction 0.1 needs to know where documents end; give --eot ID or --tokenizer, or choose files "
      "with --val");
  expect_contains(refusal({"a.npy"}, {.vocab_size = 100}), "(uint16) is not in the vocabulary of 100 entries");
  write("one.npy", bytes_of<uint16_t>(ids(0, 1)));
  expect_contains(refusal({"one.npy"}, {.val_fraction = 0.5}),
                  "the input is one document, and documents are not split");
  expect_contains(refusal({"a.npy"}, {.val_fraction = 1}), "--val-fraction 1: give a share");
  expect_contains(refusal({"one.npy"}, {.val_fraction = 0.9999999}), "--val-fraction 0.9999999: the input is one");
}

TEST_F(ImportTest, AFileIsCountedOnceWhateverLinksLeadToIt) {
  write("a.npy", bytes_of<uint16_t>(ids()));
  fs::create_directory(folder / "sub");
  fs::create_symlink("a.npy", folder / "link.npy");
  fs::create_hard_link(folder / "a.npy", folder / "hard.npy");
  fs::create_directory_symlink(".", folder / "same");
  for (const char* other : {"link.npy", "hard.npy", "same/a.npy", "sub/../a.npy", "./a.npy"}) {
    const std::string same = text(other, ": the same file as ", (folder / "a.npy").string(), "; name it once");
    EXPECT_EQ(refusal({"a.npy", other}), same);
    EXPECT_EQ(refusal({"a.npy"}, {.val_inputs = {other}}),
              text(other, ": named for training and by --val; name it once"));
  }
}

TEST_F(ImportTest, AnInputIsAFileOfIdsThatCanBeReadAgain) {
  write_megatron<uint16_t>(folder / "m", 8, {{1, 2}});
  fs::remove(folder / "m.bin");
  EXPECT_EQ(refusal({"m.idx"}), "m.bin: no such file, but it holds the ids that m.idx describes; copy it there");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(refusal({"pipe"}),
            "pipe: not a regular file, but import reads its inputs twice; write the ids to a file first");
}

TEST_F(ImportTest, TheManifestLeavesOutCountsThatAreNotKnown) {
  write("a.bin", bytes_of<uint16_t>(std::vector{1, 2, 3}));
  import_ids({"a.bin"}, {.format = "nanogpt", .vocab_size = 300});
  const std::string unknown = read_text_file(output / "manifest.json");
  for (const char* key : {"\"documents\": 1", "\"bytes_per_token\""})
    EXPECT_EQ(unknown.find(key), std::string::npos) << unknown;
  expect_contains(unknown, "\"train\": {\n    \"tokens\": 3,");
  EXPECT_EQ(import_ids({"a.bin"}, {.format = "nanogpt", .vocab_size = 300}).outcome, JobOutcome::was_done);
}

TEST_F(ImportTest, SpecialTokensAreNoTextWhicheverIdEndsDocuments) {
  write("a.bin", bytes_of<uint16_t>(std::vector{64, end_id(), 65, 7}));
  EXPECT_EQ(import_ids({"a.bin"}, {.format = "nanogpt", .end = 7}).train.counts, (TextCounts{1, 2, 4}));
}

TEST_F(ImportTest, AnIdWithoutATokenIsNamed) {
  Vocabulary vocabulary = tokenizer.vocabulary();
  vocabulary.tokens.emplace_back();
  vocabulary.tokens.emplace_back("zzz");
  const Tokenizer holes(std::move(vocabulary));
  const auto hole = static_cast<int32_t>(holes.vocab_size() - 2);
  write("a.npy", npy("'<u2'", "(3,)", bytes_of<uint16_t>(std::vector{1, hole + 1, hole})));
  ImportOptions options{.inputs = {folder / "a.npy"}, .output = output, .tokenizer = &holes};
  EXPECT_EQ(error_of([&] { import_tokens(options); }),
            text((folder / "a.npy").string(), ": byte 132: id ", hole,
                 " is unknown to this tokenizer; give the tokenizer that wrote the file"));
  EXPECT_FALSE(fs::exists(output));
}

}  // namespace
}  // namespace gptmoe
