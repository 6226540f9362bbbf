#include "base/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace gptmoe {
namespace {

std::string sample(int64_t bytes) {
  std::string out;
  for (int64_t i = 0; i < bytes; ++i) out += static_cast<char>(i * 37 + i / 7);
  return out;
}

// The checksum by its definition, one word at a time.
uint64_t by_definition(const std::string& bytes) {
  uint64_t state = 0;
  const auto step = [&](uint64_t word) {
    state = (state ^ word) * 0x9e3779b97f4a7c15ull;
    state ^= state >> 29;
  };
  for (size_t at = 0; at < bytes.size(); at += 8) {
    uint64_t word = 0;
    for (size_t i = 0; i < 8 && at + i < bytes.size(); ++i)
      word |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
    step(word);
  }
  step(bytes.size());
  return state;
}

TEST(Checksum, MatchesItsDefinitionHoweverTheBytesAreSplit) {
  for (int64_t bytes : {0, 1, 7, 8, 9, 16, 61, 200}) {
    const std::string whole = sample(bytes);
    EXPECT_EQ(checksum_of(whole), by_definition(whole)) << bytes;
    for (int64_t piece : {1, 3, 5, 8, 13, 24}) {
      Checksum checksum;
      for (int64_t at = 0; at < bytes; at += piece) checksum.update(whole.data() + at, std::min(piece, bytes - at));
      EXPECT_EQ(checksum.value(), by_definition(whole)) << bytes << " bytes by " << piece;
    }
  }
}

TEST(Checksum, DetectsEveryFlippedBitAndEveryTruncation) {
  const std::string whole = sample(67);
  std::set<uint64_t> seen = {checksum_of(whole)};
  for (size_t i = 0; i < whole.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = whole;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      EXPECT_TRUE(seen.insert(checksum_of(flipped)).second) << "bit " << bit << " of byte " << i;
    }
    EXPECT_TRUE(seen.insert(checksum_of(whole.substr(0, i))).second) << "cut to " << i;
  }
  for (size_t zeros = 1; zeros < 20; ++zeros)
    EXPECT_TRUE(seen.insert(checksum_of(whole + std::string(zeros, '\0'))).second) << zeros << " zeros appended";
}

// If the state were only multiplied, flipping the highest bits of two words would cancel out.
TEST(Checksum, FlippingTheHighestBitsOfTwoWordsDoesNotCancel) {
  std::string flipped = sample(64);
  const uint64_t before = checksum_of(flipped);
  flipped[7] ^= '\x80';
  flipped[15] ^= '\x80';
  EXPECT_NE(checksum_of(flipped), before);
}

TEST(Checksum, TextHasSixteenDigits) {
  EXPECT_EQ(checksum_text(0), "0000000000000000");
  EXPECT_EQ(checksum_text(0xfedcba9876543210ull), "fedcba9876543210");
}

// RFC 3720, appendix B.4, and the check value of the CRC catalogues.
TEST(Crc32c, HasItsPublishedValues) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

}  // namespace
}  // namespace gptmoe
