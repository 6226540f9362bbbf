#pragma once
// A cache of encoded words, so that frequent words are looked up rather than merged.
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/word_key.h"

namespace gptmoe {

// One per thread. A set-associative table of fixed size (8 MiB): if the set of a new word is full, the word replaces
// another word of the set.
class WordCache {
 public:
  // The longest word that is kept; longer ones rarely recur.
  static constexpr size_t kMaxBytes = 64;

  // A word with its key (WordKey).
  struct Key {
    std::string_view word;
    uint64_t low, high, hash;
  };
  // `readable` bytes may be read, starting at word.data(); with 16 or more, the function is faster.
  static Key key_of(std::string_view word, size_t readable);
  void prefetch(const Key& key) const { __builtin_prefetch(set_of(key)); }

  // Writes the word's ids at `out`, which has room for kMaxBytes, and returns their number; 0 if the cache does not
  // have the word.
  size_t find(const Key& key, int32_t* out) const;
  void insert(const Key& key, std::span<const int32_t> ids);

 private:
  static constexpr size_t kKeyBytes = WordKey::kInlineBytes, kInlineIds = 3, kWays = 4;
  static constexpr int kSetBits = 16;

  struct Entry {
    uint64_t low = 0, high = 0;
    std::array<int32_t, kInlineIds> ids{};  // or positions in spilled_ids_ and spilled_text_, see insert()
    uint8_t bytes = 0;                      // of the word; 0 = empty
    uint8_t count = 0;                      // of ids
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
  if (word.size() > kMaxBytes) return {word, 0, 0, 0};
  const WordKey key = word_key(word, readable);
  return {word, key.low, key.high, key.hash};
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
