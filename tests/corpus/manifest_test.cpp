#include "corpus/manifest.h"

#include "base/json.h"
#include "base/seal.h"
#include "support/error_line.h"
#include "tokenizer/bpe_trainer.h"

namespace gptmoe {
namespace {

Manifest example() {
  Manifest manifest;
  manifest.identity = {"encode",
                       "0123456789abcdef",
                       300,
                       "<|endoftext|>",
                       0.05,
                       10,
                       {{"field", "text"}},
                       {{"a.jsonl", 100, 1'700'000'000'000'000'001}, {"b.txt", 7, -1}}};
  const ShardSeal seal{"00000000000000aa", "00000000000000bb"};
  manifest.train = {{3, 90, 25}, {{{10, seal}, {10, seal}}, 5, "00000000000000cc"}};
  manifest.val = {{1, 17, 4}, {{}, 4, "00000000000000dd"}};
  manifest.skipped.add({"a.jsonl: line 3: not JSON"});
  manifest.resume = {{1, 20, 3}, 0.125};
  return manifest;
}

struct ManifestTest : testing::Test {
  nlohmann::ordered_json written() { return nlohmann::ordered_json::parse(read_text_file(folder / "manifest.json")); }
  std::string refusal(nlohmann::ordered_json manifest) {
    if (manifest.is_object()) manifest.erase("checksum");
    write_text_file(folder / "manifest.json", manifest.is_object() ? sealed(manifest.dump(2)) : manifest.dump());
    return error_of([&] { read_manifest(folder.path()); });
  }
  std::string difference(const JobIdentity& asked) {
    return error_of([&] { check_same_job(folder.path(), example().identity, asked); });
  }
  TemporaryFolder folder;
};

TEST_F(ManifestTest, ReadsWhatItWrote) {
  const Manifest manifest = example();
  write_manifest(folder.path(), manifest);
  const Manifest read = read_manifest(folder.path());
  check_same_job(folder.path(), read.identity, manifest.identity);
  EXPECT_EQ(read.train.counts, manifest.train.counts);
  EXPECT_EQ(read.train.shards, manifest.train.shards);
  EXPECT_EQ(read.val.counts, manifest.val.counts);
  EXPECT_EQ(read.val.shards, manifest.val.shards);
  EXPECT_EQ(read.skipped.count, 1);
  EXPECT_EQ(read.skipped.first, manifest.skipped.first);
  ASSERT_TRUE(read.resume);
  EXPECT_EQ(read.resume->input.file, 1);
  EXPECT_EQ(read.resume->input.byte, 20);
  EXPECT_EQ(read.resume->input.line, 3);
  EXPECT_EQ(read.resume->lowest_position, 0.125);
  write_manifest(folder.path(), read);
  const std::string again = read_text_file(folder / "manifest.json");
  write_manifest(folder.path(), manifest);
  EXPECT_EQ(read_text_file(folder / "manifest.json"), again);
}

TEST_F(ManifestTest, SaysWhatAFinishedFolderHolds) {
  Manifest manifest = example();
  manifest.resume.reset();
  const ShardSeal seal{"00000000000000aa", "00000000000000bb"};
  manifest.train.shards = {{{10, seal}, {10, {}}, {5, seal}}, 0, ""};
  manifest.val.shards = {{{4, seal}}, 0, ""};
  write_manifest(folder.path(), manifest);
  EXPECT_EQ(read_text_file(folder / "manifest.json"), sealed(R"({
  "format": "gptmoe-tokenize encode",
  "version": 2,
  "tokenizer": {
    "fingerprint": "0123456789abcdef",
    "vocab_size": 300,
    "end_of_text": "<|endoftext|>"
  },
  "options": {
    "val_fraction": 0.05,
    "shard_tokens": 10,
    "field": "text"
  },
  "inputs": [
    {
      "path": "a.jsonl",
      "bytes": 100,
      "mtime_ns": 1700000000000000001
    },
    {
      "path": "b.txt",
      "bytes": 7,
      "mtime_ns": -1
    }
  ],
  "bytes_per_token": 3.6897,
  "train": {
    "documents": 3,
    "bytes": 90,
    "tokens": 25,
    "shards": [
      {
        "file": "train_000000.bin",
        "tokens": 10,
        "checksum": "00000000000000aa",
        "samples": "00000000000000bb"
      },
      {
        "file": "train_000001.bin",
        "tokens": 10
      },
      {
        "file": "train_000002.bin",
        "tokens": 5,
        "checksum": "00000000000000aa",
        "samples": "00000000000000bb"
      }
    ]
  },
  "val": {
    "documents": 1,
    "bytes": 17,
    "tokens": 4,
    "shards": [
      {
        "file": "val_000000.bin",
        "tokens": 4,
        "checksum": "00000000000000aa",
        "samples": "00000000000000bb"
      }
    ]
  },
  "skipped_errors": {
    "count": 1,
    "first": [
      "a.jsonl: line 3: not JSON"
    ]
  }
})"));
  EXPECT_FALSE(read_manifest(folder.path()).resume);
}

TEST_F(ManifestTest, KeepsOnlyTheFirstErrors) {
  SkippedErrors skipped;
  for (int i = 0; i < 15; ++i) skipped.add({"one", "two"});
  EXPECT_EQ(skipped.count, 30);
  EXPECT_EQ(std::ssize(skipped.first), 20);
}

TEST_F(ManifestTest, RefusesWhatItDidNotWrite) {
  write_manifest(folder.path(), example());
  const auto good = written();
  const auto with = [&](const char* pointer, const nlohmann::ordered_json& value) {
    auto changed = good;
    changed[nlohmann::ordered_json::json_pointer(pointer)] = value;
    return changed;
  };
  EXPECT_EQ(refusal(good), "no error");
  for (const auto& bad : {with("/format", "other"), with("/version", 3), with("/train/tokens", -1),
                          with("/train/tokens", 26), with("/train/tokens", 2.5), with("/options/val_fraction", 7),
                          with("/options/shard_tokens", 0), with("/resume/byte", -3), with("/resume/byte", "x"),
                          with("/val/unfinished_shard_tokens", 10), with("/inputs", 3), nlohmann::ordered_json(3)}) {
    const std::string line = refusal(bad);
    expect_contains(line,
                    (folder / "manifest.json").string() + ": not a manifest of this version of gptmoe-tokenize (");
    expect_contains(line, "choose another --output, or remove " + folder.path().string());
    EXPECT_EQ(line.find("exception"), std::string::npos) << line;
  }
  EXPECT_NE(refusal(with("/resume/file", 3)), "no error") << "there are two inputs";
  EXPECT_NE(refusal(with("/train/shards/0/tokens", 11)), "no error") << "above shard_tokens";
  EXPECT_NE(refusal(with("/options/shard_tokens", int64_t{1} << 40)), "no error");
  write_text_file(folder / "manifest.json", "{\"format\": ");
  expect_contains(
      error_of([&] { read_manifest(folder.path()); }),
      "manifest.json:1:12: syntax error while parsing value - unexpected end of input; expected '[', '{', or a "
      "literal; restore it, or choose another --output");
}

TEST_F(ManifestTest, ReadsVersion1) {
  Manifest manifest = example();
  for (SplitRecord* split : {&manifest.train, &manifest.val}) {
    for (FinishedShard& shard : split->shards.finished) shard.seal = {};
    split->shards.unfinished_checksum.clear();
  }
  write_manifest(folder.path(), manifest);
  auto old = written();
  old["version"] = 1;
  for (const char* split : {"train", "val"}) old[split].erase("unfinished_shard_checksum");
  old.erase("checksum");
  write_text_file(folder / "manifest.json", old.dump(2) + "\n");
  const Manifest read = read_manifest(folder.path());
  EXPECT_EQ(read.train.shards, manifest.train.shards);
  old["version"] = 2;
  write_text_file(folder / "manifest.json", old.dump(2) + "\n");
  expect_contains(error_of([&] { read_manifest(folder.path()); }), "its checksum is missing");
}

TEST_F(ManifestTest, EveryFlippedBitIsFound) {
  write_manifest(folder.path(), example());
  const std::string good = read_text_file(folder / "manifest.json");
  for (size_t i = 0; i < good.size(); ++i) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(damaged[i] ^ 1 << i % 8);
    write_text_file(folder / "manifest.json", damaged);
    const std::string line = error_of([&] { read_manifest(folder.path()); });
    EXPECT_EQ(line.find((folder / "manifest.json").string()), 0u) << line << " byte " << i;
    EXPECT_NE(line.find("; restore it, or choose another --output"), std::string::npos) << line;
  }
}

TEST_F(ManifestTest, NamesTheFirstDifferenceBetweenJobs) {
  const auto expect = [&](auto change, const std::string& what) {
    JobIdentity asked = example().identity;
    change(asked);
    EXPECT_EQ(difference(asked), (folder / "manifest.json").string() + ": the shards here were started with " + what +
                                     "; repeat that command, choose another --output, or remove the folder");
  };
  expect([](auto& job) { job.tokenizer = "fedcba9876543210"; },
         "the tokenizer of fingerprint 0123456789abcdef (300 entries), but now it is fedcba9876543210 (300 entries)");
  expect([](auto& job) { job.end_of_text = "</s>"; }, "--end-of-text <|endoftext|>, but now it is </s>");
  expect([](auto& job) { job.val_fraction = 0.1; }, "--val-fraction 0.05, but now it is 0.1");
  expect([](auto& job) { job.shard_tokens = 11; }, "--shard-tokens 10, but now it is 11");
  expect([](auto& job) { job.options[0].second = "body"; }, "--field text, but now it is body");
  expect([](auto& job) { job.inputs[1].bytes = 8; }, "input file 2 b.txt of 7 bytes, but now it is b.txt of 8 bytes");
  expect([](auto& job) { job.inputs[0].path = "c.jsonl"; },
         "input file 1 a.jsonl of 100 bytes, but now it is c.jsonl of 100 bytes");
  expect([](auto& job) { job.inputs[1].bytes = 1; }, "input file 2 b.txt of 7 bytes, but now it is b.txt of 1 byte");
  expect([](auto& job) { job.inputs[1].mtime_ns = 2; },
         "input file 2 b.txt of 7 bytes, last changed 1969-12-31 23:59:59.999999999 UTC, but now it is 1970-01-01 "
         "00:00:00.000000002 UTC");
  expect([](auto& job) { job.inputs.pop_back(); }, "the number of input files 2, but now it is 1");
}

TEST_F(ManifestTest, PathsNeedNotBeUtf8) {
  Manifest manifest = example();
  manifest.identity.inputs[0].path = "caf\xE9.jsonl";
  write_manifest(folder.path(), manifest);
  check_same_job(folder.path(), read_manifest(folder.path()).identity, manifest.identity);
}

TEST(TokenizerFingerprint, DependsOnEverythingThatAffectsIds) {
  BpeTrainer trainer;
  trainer.add("the river ran on and on, the river ran");
  const Vocabulary vocabulary = trainer.train(280).vocabulary();
  const auto print = [&](auto change) {
    Vocabulary changed = vocabulary;
    change(changed);
    return tokenizer_fingerprint(Tokenizer(std::move(changed)));
  };
  const std::string same = print([](Vocabulary&) {});
  EXPECT_EQ(same.size(), 16u);
  EXPECT_EQ(same, tokenizer_fingerprint(trainer.train(280)));
  EXPECT_NE(same, print([](Vocabulary& v) { v.tokens.back() += "!"; }));
  EXPECT_NE(same, print([](Vocabulary& v) { v.tokens.emplace_back("more"); }));
  EXPECT_NE(same, print([](Vocabulary& v) { v.merges.pop_back(); }));
  EXPECT_NE(same, print([](Vocabulary& v) { v.merges.back().rank += 1; }));
  EXPECT_NE(same, print([](Vocabulary& v) { v.added[0].special = false; }));
  EXPECT_NE(same, print([](Vocabulary& v) { v.pattern = SplitPattern::qwen2; }));
  EXPECT_NE(same, print([](Vocabulary& v) { v.nfc = true; }));
  EXPECT_NE(same, print([](Vocabulary& v) { v.whole_words = true; }));
  EXPECT_NE(same, print([](Vocabulary& v) { v.end_of_text.reset(); }));
}

}  // namespace
}  // namespace gptmoe
