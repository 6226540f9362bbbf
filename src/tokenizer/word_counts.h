#pragma once
// Counts how often each word of a text occurs.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/pretokenize.h"
#include "tokenizer/word_key.h"

namespace gptmoe {

// An open-addressed hash table over entries in the order of first appearance. Use one table per thread for counting. If
// the tables are merged in the order of the text, the result equals one table that counted all of it.
class WordCounts {
 public:
  // Counts every word of `text`; a word is shorter than 4 GiB.
  void add(SplitPattern pattern, std::string_view text);
  void merge(const WordCounts& other);

  int64_t words() const { return std::ssize(entries_); }  // distinct ones
  int64_t letters() const { return letters_; }            // bytes of the distinct words together

  // Drops the words that occur once, then those that occur twice, and so on, until the remaining words have at most
  // `letters` bytes. Returns the number of words dropped.
  int64_t drop_rarest(int64_t letters);

  // visit(std::string_view word, int64_t count) in the order of first appearance.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const Entry& entry : entries_) visit(word_of(entry), entry.count);
  }

 private:
  struct Entry {
    uint64_t low, high;  // of the key; `high` of a long word is its position in long_words_
    int64_t count;
    uint32_t length, hash;
  };
  struct Slot {
    uint32_t hash = 0, entry = kFree;
  };
  static constexpr uint32_t kFree = UINT32_MAX;

  static bool is_long(uint32_t length) { return length > WordKey::kInlineBytes; }
  std::string_view word_of(const Entry& entry) const {
    return is_long(entry.length) ? std::string_view(long_words_).substr(entry.high, entry.length)
                                 : std::string_view(reinterpret_cast<const char*>(&entry.low), entry.length);
  }
  // `entry` may belong to another table. Its word is at `letters`, which is read only if the word is long.
  void add_entry(const Entry& entry, const char* letters);
  size_t slot_of(uint32_t hash) const { return hash & (slots_.size() - 1); }
  void grow();

  std::vector<Entry> entries_;
  std::vector<Slot> slots_;  // a power of two, at most half in use
  std::string long_words_;
  int64_t letters_ = 0;
};

}  // namespace gptmoe
