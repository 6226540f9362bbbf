// An encoding job whose manifest or shards were damaged is refused in one line, and nothing is removed.
#include "corpus/encode_resume_fixture.h"
#include "support/error_message.h"
#include "support/write_shard.h"

namespace gptmoe {
namespace {

using EncodeDamageTest = EncodeResumeTest;

TEST_F(EncodeDamageTest, AMissingOrShortenedShardIsRefused) {
  run_for(13, options("out"));
  const fs::path shard = folder / "out" / "train_000000.bin";
  const std::string remedy = "; manifest.json lists it: restore it, or remove " + (folder / "out").string();
  write_shard(shard, tokenizer.vocab_size(), {1, 2, 3});
  std::string line = error_of([&] { encode(inputs, options("out")); });
  expect_contains(line, shard.string() + ": holds 3 tokens, but 350 were written to it" + remedy);
  fs::remove(shard);
  line = error_of([&] { encode(inputs, options("out")); });
  expect_contains(line, shard.string() + ": cannot open: No such file or directory" + remedy);
}

TEST_F(EncodeDamageTest, ADamagedShardIsNamedAndNothingRemoved) {
  run_for(13, options("out"));
  const auto flip = [&](const fs::path& path, int64_t from_end) {
    std::string bytes = read_text_file(path);
    bytes[bytes.size() - static_cast<size_t>(from_end)] ^= 1;
    write_text_file(path, bytes);
  };
  std::vector<fs::path> shards;
  for (const auto& entry : fs::directory_iterator(folder / "out"))
    if (entry.path().filename() != "manifest.json") shards.push_back(entry.path());
  ASSERT_TRUE(std::any_of(shards.begin(), shards.end(), [](auto& path) { return path.extension() == ".partial"; }));
  for (const fs::path& shard : shards) {
    // The record may cover only the beginning of a partial file, so the damage is there.
    const int64_t place = shard.extension() == ".partial" ? std::ssize(read_text_file(shard)) - kShardHeaderBytes : 1;
    flip(shard, place);
    const auto before = content(folder / "out");
    expect_contains(error_of([&] { encode(inputs, options("out")); }),
                    shard.string() + ": does not hold the tokens that were written to it; manifest.json lists it");
    EXPECT_EQ(content(folder / "out").size(), before.size());
    flip(shard, place);
  }
  encode(inputs, options("out"));
  expect_same_files(folder / "out", folder / "whole");
}

TEST_F(EncodeDamageTest, ADamagedManifestIsOneLineAndNothingIsRemoved) {
  run_for(13, options("out"));
  const std::string good = read_text_file(folder / "out/manifest.json");
  for (const char* key : {"\"byte\": ", "\"line\": ", "\"documents\": ", "\"tokens\": "}) {
    std::string damaged = good;
    const size_t digit = damaged.rfind(key) + std::string(key).size();
    damaged[digit] = damaged[digit] == '9' ? '1' : static_cast<char>(damaged[digit] + 1);
    write_text_file(folder / "out/manifest.json", damaged);
    const auto before = content(folder / "out");
    expect_contains(error_of([&] { encode(inputs, options("out")); }),
                    "manifest.json: does not match its own checksum: it is damaged, cut short or edited; restore it");
    EXPECT_TRUE(content(folder / "out") == before);
  }
  fs::remove(folder / "out/manifest.json");
  fs::create_symlink("gone", folder / "out/manifest.json");
  const auto partial_files = [&] {
    return std::count_if(fs::directory_iterator(folder / "out"), {},
                         [](const auto& entry) { return entry.path().extension() == ".partial"; });
  };
  const auto before = partial_files();
  expect_contains(error_of([&] { encode(inputs, options("out")); }), "manifest.json: cannot access it: ");
  EXPECT_EQ(partial_files(), before) << "what cannot be read is not missing";
}

// A job that was resumed may have worked for days.
TEST_F(EncodeDamageTest, ARefusalAtTheEndOfAResumedJobRemovesNothing) {
  inputs = {write_documents(60)};
  EncodeOptions job = options("out");
  job.val_fraction = 1e-9;
  ASSERT_FALSE(run_for(3, job));
  const auto shards = [&] {
    return std::count_if(fs::directory_iterator(job.output), {},
                         [](const auto& entry) { return entry.path().extension() == ".bin"; });
  };
  const auto before = shards();
  expect_contains(error_of([&] { encode(inputs, job); }), "none of the 60 documents fell into validation");
  EXPECT_GE(shards(), before);
  ASSERT_GT(shards(), 0);
}

TEST_F(EncodeDamageTest, ALinkInPlaceOfAPartialFileIsNotWritten) {
  write_text_file(folder / "precious", "old");
  EncodeOptions job = options("out");
  ASSERT_FALSE(run_for(13, job));
  for (const auto& entry : fs::directory_iterator(job.output))
    if (entry.path().extension() == ".partial") {
      fs::remove(entry.path());
      fs::create_symlink(folder / "precious", entry.path());
    }
  EXPECT_NE(error_of([&] { encode(inputs, job); }), "no error");
  EXPECT_EQ(read_text_file(folder / "precious"), "old");
}

}  // namespace
}  // namespace gptmoe
