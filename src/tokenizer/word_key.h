#pragma once
// The key by which tables of words find a word.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace gptmoe {

// A word of up to kInlineBytes is its own key, padded with zeros. For a longer one, `low` is a hash of its bytes and
// `high` is zero. Short words of equal length and equal keys are the same word.
struct WordKey {
  static constexpr size_t kInlineBytes = 16;
  uint64_t low, high, hash;
};

// `readable` bytes may be read, starting at word.data(); with 16 or more, the function is faster.
inline WordKey word_key(std::string_view word, size_t readable) {
  constexpr uint64_t kMix = 0x9E3779B97F4A7C15, kMix2 = 0xC2B2AE3D27D4EB4F;
  constexpr size_t kInline = WordKey::kInlineBytes;
  uint64_t part[2] = {0, 0};
  const size_t n = word.size();
  if (n > kInline) {
    uint64_t hash = n;
    for (size_t at = 0; at < n; at += 8) {
      uint64_t bytes = 0;
      std::memcpy(&bytes, word.data() + at, n - at < 8 ? n - at : 8);
      hash = (hash ^ bytes) * kMix;
      hash ^= hash >> 29;
    }
    part[0] = hash;
  } else if (readable >= kInline) {
    static constexpr auto kMasks = [] {
      std::array<std::array<uint64_t, 2>, kInline + 1> masks{};
      for (size_t bytes = 0; bytes <= kInline; ++bytes)
        for (size_t i = 0; i < bytes; ++i) masks[bytes][i / 8] |= uint64_t{0xFF} << (i % 8 * 8);
      return masks;
    }();
    std::memcpy(part, word.data(), kInline);
    part[0] &= kMasks[n][0];
    part[1] &= kMasks[n][1];
  } else {
    std::memcpy(part, word.data(), n);
  }
  uint64_t hash = (part[0] ^ n * kMix2) * kMix;
  hash = (hash ^ hash >> 32 ^ part[1]) * kMix2;
  return {part[0], part[1], hash};
}

}  // namespace gptmoe
