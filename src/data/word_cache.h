#pragma once
// Words already encoded, so that the frequent ones are looked up rather than merged.
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gptmoe {

// One per thread. A set-associative table of fixed size (8 MiB): a word that finds its set full replaces another.
class WordCache {
 public:
  // The longest word that is kept; longer ones hardly recur.
  static constexpr size_t kMaxBytes = 64;

  // A word with what finds it. Up to 16 bytes it is its own key; longer ones are hashed.
  struct Key {
    std::string_view word;
    uint64_t low, high, hash;
  };
  // `readable` bytes may be read from word.data() on; 16 make it faster.
  static Key key_of(std::string_view word, size_t readable);
  void prefetch(const Key& key) const { __builtin_prefetch(set_of(key)); }

  // Appends the word's ids at `out`, which has room for kMaxBytes, and returns how many they are; 0: the word is
  // unknown.
  size_t find(const Key& key, int32_t* out) const;
  void insert(const Key& key, std::span<const int32_t> ids);

 private:
  static constexpr size_t kKeyBytes = 16, kInlineIds = 3, kWays = 4;
  static constexpr int kSetBits = 16;

  struct Entry {
    uint64_t low = 0, high = 0;
    std::array<int32_t, kInlineIds>
        ids{};          // more than fit: {first in spilled_ids_}; a long word's text follows: {.., at}
    uint8_t bytes = 0;  // of the word; 0 = empty
    uint8_t count = 0;  // of ids
  };
  static_assert(sizeof(Entry) == 32);

  const Entry* set_of(const Key& key) const { return &entries_[(key.hash >> (64 - kSetBits)) * kWays]; }
  bool same_text(const Entry& entry, std::string_view word) const;
  size_t copy_spilled(const Entry& entry, int32_t* out) const;

  std::vector<Entry> entries_ = std::vector<Entry>((size_t{1} << kSetBits) * kWays);
  std::vector<int32_t> spilled_ids_;
  std::string spilled_text_;
  size_t next_victim_ = 0;
};

inline WordCache::Key WordCache::key_of(std::string_view word, size_t readable) {
  constexpr uint64_t kMix = 0x9E3779B97F4A7C15, kMix2 = 0xC2B2AE3D27D4EB4F;
  uint64_t part[2] = {0, 0};
  const size_t n = word.size();
  if (n > kMaxBytes) return {word, 0, 0, 0};
  if (n > kKeyBytes) {
    uint64_t hash = n;
    for (size_t at = 0; at < n; at += 8) {
      uint64_t bytes = 0;
      std::memcpy(&bytes, word.data() + at, n - at < 8 ? n - at : 8);
      hash = (hash ^ bytes) * kMix;
      hash ^= hash >> 29;
    }
    part[0] = hash;
  } else if (readable >= kKeyBytes) {
    static constexpr auto kMasks = [] {
      std::array<std::array<uint64_t, 2>, kKeyBytes + 1> masks{};
      for (size_t bytes = 0; bytes <= kKeyBytes; ++bytes)
        for (size_t i = 0; i < bytes; ++i) masks[bytes][i / 8] |= uint64_t{0xFF} << (i % 8 * 8);
      return masks;
    }();
    std::memcpy(part, word.data(), kKeyBytes);
    part[0] &= kMasks[n][0];
    part[1] &= kMasks[n][1];
  } else {
    std::memcpy(part, word.data(), n);
  }
  uint64_t hash = (part[0] ^ n * kMix2) * kMix;
  hash = (hash ^ hash >> 32 ^ part[1]) * kMix2;
  return {word, part[0], part[1], hash};
}

inline size_t WordCache::find(const Key& key, int32_t* out) const {
  const Entry* entry = set_of(key);
  for (size_t way = 0; way < kWays; ++way, ++entry) {
    if (entry->low != key.low || entry->high != key.high || entry->bytes != key.word.size()) continue;
    if (entry->count > kInlineIds || entry->bytes > kKeyBytes) {
      if (entry->bytes > kKeyBytes && !same_text(*entry, key.word)) continue;
      return copy_spilled(*entry, out);
    }
    std::memcpy(out, entry->ids.data(), sizeof entry->ids);
    return entry->count;
  }
  return 0;
}

}  // namespace gptmoe
