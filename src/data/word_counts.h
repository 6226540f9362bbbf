#pragma once
// How often each word of a text occurs.
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/pretokenize.h"

namespace gptmoe {

// An open-addressed hash table over entries in the order of first appearance. One per thread while counting; merged in
// the order of the text, tables hold the same as one that saw all of it.
class WordCounts {
 public:
  // Counts every word of `text`; a word is shorter than 4 GiB.
  void add(SplitPattern pattern, std::string_view text);
  void add_word(std::string_view word, int64_t times);
  void merge(const WordCounts& other);

  int64_t words() const { return std::ssize(entries_); }  // distinct ones
  int64_t letters() const { return letters_; }            // bytes of the distinct words together

  // Drops the words that occur once, then those that occur twice, and so on, until at most `letters` remain. Returns
  // the number of words dropped.
  int64_t drop_rarest(int64_t letters);

  // visit(std::string_view word, int64_t count) in the order of first appearance.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const Entry& entry : entries_) {
      Buffer buffer;
      visit(word_of(entry, buffer), entry.count);
    }
  }

 private:
  static constexpr size_t kInline = 16;
  using Buffer = std::array<char, kInline>;

  // A word of up to kInline bytes is in its key; of a longer one key[0] is its position in long_words_.
  struct Key {
    std::array<uint64_t, 2> key;
    uint32_t length, hash;
  };
  struct Entry : Key {
    int64_t count;
  };
  struct Slot {
    uint32_t hash = 0, entry = kFree;
  };
  static constexpr uint32_t kFree = UINT32_MAX;

  static Key key_of(std::string_view word);
  std::string_view word_of(const Entry& entry, Buffer& buffer) const;
  // `word` is read where it is longer than kInline.
  void add_key(const Key& key, std::string_view word, int64_t times);
  void grow();

  std::vector<Entry> entries_;
  std::vector<Slot> slots_;  // a power of two, at most half in use
  std::string long_words_;
  int64_t letters_ = 0;
};

}  // namespace gptmoe
