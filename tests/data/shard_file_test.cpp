#include "data/shard_file.h"

#include <array>
#include <cstring>
#include <numeric>
#include <vector>

#include "helpers.h"

namespace gptmoe {
namespace {

struct ShardFileTest : testing::Test {
  std::string write_raw(const std::string& bytes) {
    write_text_file(path, bytes);
    return path.string();
  }
  std::string raw_shard(int32_t magic, int32_t version, int32_t count, size_t token_bytes) {
    std::array<int32_t, 256> header{magic, version, count};
    return std::string(reinterpret_cast<const char*>(header.data()), sizeof header) + std::string(token_bytes, '\1');
  }
  std::string error() {
    return error_of([&] { Shard shard(path); });
  }

  TemporaryFolder folder;
  std::filesystem::path path = folder / "s.bin";
};

TEST_F(ShardFileTest, SmallVocabularyIsTwoBytesAToken) {
  ShardWriter writer(path, 65536);
  writer.append(std::vector<int32_t>{7, 65535});
  writer.append(std::vector<int32_t>{0});
  EXPECT_FALSE(std::filesystem::exists(path));
  writer.commit();

  const std::string bytes = read_text_file(path);
  ASSERT_EQ(bytes.size(), 1024u + 6u);
  std::array<int32_t, 256> header;
  std::memcpy(header.data(), bytes.data(), sizeof header);
  EXPECT_EQ(header[0], 20240520);
  EXPECT_EQ(header[1], 1);
  EXPECT_EQ(header[2], 3);
  EXPECT_EQ(std::accumulate(header.begin() + 3, header.end(), 0), 0);
  EXPECT_EQ(bytes.substr(1024), std::string("\x07\x00\xFF\xFF\x00\x00", 6));
}

TEST_F(ShardFileTest, LargeVocabularyIsFourBytesAToken) {
  ShardWriter writer(path, 65537);
  writer.append(std::vector<int32_t>{65536, 1});
  writer.commit();

  const std::string bytes = read_text_file(path);
  ASSERT_EQ(bytes.size(), 1024u + 8u);
  int32_t header[3];
  std::memcpy(header, bytes.data(), sizeof header);
  EXPECT_EQ(header[0], 20240801);
  EXPECT_EQ(header[1], 7);
  EXPECT_EQ(header[2], 2);
  EXPECT_EQ(bytes.substr(1024), std::string("\x00\x00\x01\x00\x01\x00\x00\x00", 8));
}

TEST_F(ShardFileTest, ReadsBackWhatWasWritten) {
  for (const int64_t vocab_size : {50257, 128256}) {
    std::vector<int32_t> tokens(3000);
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = static_cast<int32_t>(i * 7919 % static_cast<size_t>(vocab_size));
    ShardWriter writer(path, vocab_size);
    writer.append(tokens);
    writer.commit();

    const Shard shard(path);
    ASSERT_EQ(shard.size(), 3000);
    EXPECT_EQ(shard.format().token_bytes, vocab_size > 65536 ? 4 : 2);
    EXPECT_EQ(shard.token(0), 0u);
    EXPECT_EQ(shard.token(2999), static_cast<uint32_t>(tokens[2999]));
    std::vector<int32_t> part(100);
    shard.copy(2900, 100, part.data());
    EXPECT_EQ(part, std::vector<int32_t>(tokens.end() - 100, tokens.end()));
    EXPECT_THROW(shard.token(3000), BugError);
    EXPECT_THROW(shard.copy(2901, 100, part.data()), BugError);
  }
}

TEST_F(ShardFileTest, HeaderAloneIsAShardOfNoTokens) {
  write_raw(raw_shard(20240520, 1, 0, 0));
  EXPECT_EQ(Shard(path).size(), 0);
}

TEST_F(ShardFileTest, WriterRefusesIdsOutsideTheVocabulary) {
  ShardWriter writer(path, 100);
  EXPECT_THROW(writer.append(std::vector<int32_t>{100}), BugError);
  EXPECT_THROW(writer.append(std::vector<int32_t>{-1}), BugError);
}

TEST_F(ShardFileTest, MissingFile) { EXPECT_EQ(error(), path.string() + ": cannot open: No such file or directory"); }

TEST_F(ShardFileTest, EmptyFile) {
  write_raw("");
  expect_contains(error(), path.string() + ": empty file");
}

TEST_F(ShardFileTest, TruncatedHeaderSaysExpectedAndFound) {
  write_raw(raw_shard(20240520, 1, 0, 0).substr(0, 1000));
  expect_contains(error(), path.string() + ": truncated");
  expect_contains(error(), "1024 bytes of header, found 1000 bytes");
}

TEST_F(ShardFileTest, TruncatedTokensSayExpectedAndFound) {
  write_raw(raw_shard(20240520, 1, 2000, 3999));
  expect_contains(error(), ": truncated: 2,000 tokens make 5,024 bytes, found 5,023 bytes");
  write_raw(raw_shard(20240801, 7, 2000, 4000));
  expect_contains(error(), ": truncated: 2,000 tokens make 9,024 bytes, found 5,024 bytes");
}

TEST_F(ShardFileTest, CountBelowTheFileSize) {
  write_raw(raw_shard(20240520, 1, 10, 22));
  expect_contains(error(), ": longer than its header says: 10 tokens make 1,044 bytes, found 1,046 bytes");
}

TEST_F(ShardFileTest, NegativeCount) {
  write_raw(raw_shard(20240520, 1, -5, 20));
  expect_contains(error(), ": byte 8: the header counts -5 tokens");
}

TEST_F(ShardFileTest, ForeignMagic) {
  write_raw(std::string(4096, 'x'));
  expect_contains(error(), ": byte 0: not a token shard (magic 2021161080");
  expect_contains(error(), "gptmoe-tokenize encode");
}

TEST_F(ShardFileTest, UnsupportedVersion) {
  write_raw(raw_shard(20240520, 2, 10, 20));
  expect_contains(error(), ": byte 4: shard version 2 with magic 20240520 is not supported, only version 1");
  write_raw(raw_shard(20240801, 1, 10, 40));
  expect_contains(error(), ": byte 4: shard version 1 with magic 20240801 is not supported, only version 7");
}

}  // namespace
}  // namespace gptmoe
