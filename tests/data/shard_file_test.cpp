#include "data/shard_file.h"

#include <array>
#include <cstring>
#include <numeric>
#include <vector>

#include "support/error_line.h"
#include "support/file_size_limit.h"
#include "support/write_shard.h"

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
  static std::string stored(const std::vector<int32_t>& ids, const ShardFormat& format) {
    std::string bytes;
    store_tokens(ids, format, bytes);
    return bytes;
  }
  std::string error() {
    return error_of([&] { Shard shard(path); });
  }

  TemporaryFolder folder;
  std::filesystem::path path = folder / "s.bin";
};

TEST_F(ShardFileTest, ASmallVocabularyTakesTwoBytesPerToken) {
  write_shard(path, 65536, {7, 65535, 0});

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

TEST_F(ShardFileTest, ALargeVocabularyTakesFourBytesPerToken) {
  write_shard(path, 65537, {65536, 1});

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
    write_shard(path, vocab_size, tokens);

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

TEST_F(ShardFileTest, AHeaderAloneIsAShardWithoutTokens) {
  write_raw(raw_shard(20240520, 1, 0, 0));
  EXPECT_EQ(Shard(path).size(), 0);
}

TEST_F(ShardFileTest, IdsThatDoNotFitAreABug) {
  EXPECT_THROW(stored({65536}, kShardU16), BugError);
  EXPECT_THROW(stored({-1}, kShardU16), BugError);
  EXPECT_THROW(stored({-1}, kShardU32), BugError);
}

TEST_F(ShardFileTest, TheChecksumCoversAllTokensOrSamples) {
  for (const size_t tokens : {size_t{5000}, size_t{1} << 21}) {
    SCOPED_TRACE(tokens);
    std::vector<int32_t> ids(tokens, 7);
    const auto checksum = [&](size_t changed, int32_t id) {
      ids[changed] = id;
      write_shard(path, 100, ids);
      ids[changed] = 7;
      return Shard(path).checksum();
    };
    const uint64_t intact = checksum(0, 7);
    EXPECT_EQ(checksum(0, 7), intact);
    EXPECT_NE(checksum(0, 8), intact);
    EXPECT_NE(checksum(tokens - 1, 8), intact);
    EXPECT_EQ(checksum(2000, 8) == intact, tokens > 5000) << "between two samples";
    ids.pop_back();
    EXPECT_NE(checksum(0, 7), intact) << "a shorter shard";
    ids.push_back(7);
  }
}

TEST_F(ShardFileTest, GetsItsNameWhenItIsPublished) {
  ShardWriter writer(path, kShardU16);
  writer.append(stored({1, 2, 3}, kShardU16));
  EXPECT_EQ(writer.size(), 3);
  writer.finish();
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(glob_files((folder / "*.bin").string()).empty());
  publish_shard(path);
  EXPECT_EQ(Shard(path).size(), 3);
  EXPECT_FALSE(std::filesystem::exists(partial_path(path)));
}

TEST_F(ShardFileTest, ContinuesAnUnfinishedShard) {
  for (const ShardFormat& format : {kShardU16, kShardU32}) {
    {
      ShardWriter writer(path, format);
      writer.append(stored({1, 2, 3, 4, 5}, format));
      writer.sync();
    }
    {
      ShardWriter writer(path, format, 3);
      EXPECT_EQ(writer.size(), 3);
      writer.append(stored({9}, format));
      writer.finish();
    }
    publish_shard(path);
    const Shard shard(path);
    ASSERT_EQ(shard.size(), 4);
    for (int64_t i = 0; i < 4; ++i)
      EXPECT_EQ(shard.token(i), std::vector<uint32_t>({1, 2, 3, 9})[static_cast<size_t>(i)]);
  }
}

TEST_F(ShardFileTest, ContinuesOnlyIfTheTokensAreThere) {
  { ShardWriter(path, kShardU16).append(stored({1, 2, 3}, kShardU16)); }
  expect_contains(error_of([&] { ShardWriter(path, kShardU16, 4); }),
                  path.string() + ".partial: does not hold the 4 tokens that were written to it");
  expect_contains(error_of([&] { ShardWriter(folder / "other.bin", kShardU16, 4); }), "other.bin.partial: cannot open");
}

TEST_F(ShardFileTest, FullDisk) {
  ShardWriter writer(path, kShardU16);
  const FileSizeLimit limit(2000);
  EXPECT_THROW(writer.append(std::string(1000, 'x')), Failure);
}

TEST_F(ShardFileTest, MissingFile) { EXPECT_EQ(error(), path.string() + ": cannot open: No such file or directory"); }

TEST_F(ShardFileTest, EmptyFile) {
  write_raw("");
  expect_contains(error(), path.string() + ": empty file");
}

TEST_F(ShardFileTest, ATruncatedHeaderIsReportedWithBothSizes) {
  write_raw(raw_shard(20240520, 1, 0, 0).substr(0, 1000));
  expect_contains(error(), path.string() + ": truncated");
  expect_contains(error(), "1024 bytes of header, found 1,000 bytes");
}

TEST_F(ShardFileTest, TruncatedTokensAreReportedWithBothSizes) {
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
  expect_contains(error(), "from text with gptmoe-tokenize encode");
  expect_contains(error(), "files of token ids with gptmoe-tokenize import");
}

TEST_F(ShardFileTest, UnsupportedVersion) {
  write_raw(raw_shard(20240520, 2, 10, 20));
  expect_contains(error(), ": byte 4: shard version 2 with magic 20240520 is not supported, only version 1");
  write_raw(raw_shard(20240801, 1, 10, 40));
  expect_contains(error(), ": byte 4: shard version 1 with magic 20240801 is not supported, only version 7");
}

}  // namespace
}  // namespace gptmoe
