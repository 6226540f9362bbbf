#include "tokenizer/word_counts.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>

#include "base/check.h"

namespace gptmoe {

// Works in blocks of words. All words of a block are cut before the first is looked up, so that the table's memory for
// them is prefetched in time.
void WordCounts::add(SplitPattern pattern, std::string_view text) {
  constexpr size_t kBlock = 32;
  std::array<Entry, kBlock> entries;
  std::array<const char*, kBlock> letters;
  if (slots_.empty()) grow();
  for (size_t begin = 0; begin < text.size();) {
    size_t words = 0;
    for (; words < kBlock && begin < text.size(); ++words) {
      const size_t end = word_end(pattern, text, begin);
      const std::string_view word = text.substr(begin, end - begin);
      GPTMOE_CHECK(word.size() < UINT32_MAX);
      const WordKey key = word_key(word, text.size() - begin);
      const auto hash = static_cast<uint32_t>(key.hash >> 32);
      __builtin_prefetch(&slots_[slot_of(hash)]);
      entries[words] = {key.low, key.high, 1, static_cast<uint32_t>(word.size()), hash};
      letters[words] = word.data();
      begin = end;
    }
    for (size_t i = 0; i < words; ++i) add_entry(entries[i], letters[i]);
  }
}

void WordCounts::merge(const WordCounts& other) {
  constexpr size_t kAhead = 16;
  if (slots_.empty()) grow();
  for (size_t i = 0; i < other.entries_.size(); ++i) {
    const Entry& entry = other.entries_[i];
    __builtin_prefetch(&slots_[slot_of(other.entries_[std::min(i + kAhead, other.entries_.size() - 1)].hash)]);
    add_entry(entry, other.word_of(entry).data());
  }
}

void WordCounts::add_entry(const Entry& entry, const char* letters) {
  if (2 * (entries_.size() + 1) > slots_.size()) grow();
  const bool text_decides = is_long(entry.length);
  size_t at = slot_of(entry.hash);
  for (; slots_[at].entry != kFree; at = slot_of(static_cast<uint32_t>(at + 1))) {
    if (slots_[at].hash != entry.hash) continue;
    Entry& known = entries_[slots_[at].entry];
    if (known.length != entry.length || known.low != entry.low) continue;
    if (text_decides ? std::memcmp(long_words_.data() + known.high, letters, entry.length) != 0
                     : known.high != entry.high)
      continue;
    known.count += entry.count;
    return;
  }
  slots_[at] = {entry.hash, static_cast<uint32_t>(entries_.size())};
  entries_.push_back(entry);
  letters_ += entry.length;
  if (text_decides) {
    entries_.back().high = long_words_.size();
    long_words_.append(letters, entry.length);
  }
}

void WordCounts::grow() {
  slots_.assign(std::max<size_t>(2 * slots_.size(), 1024), Slot{});
  for (size_t i = 0; i < entries_.size(); ++i) {
    size_t at = slot_of(entries_[i].hash);
    while (slots_[at].entry != kFree) at = slot_of(static_cast<uint32_t>(at + 1));
    slots_[at] = {entries_[i].hash, static_cast<uint32_t>(i)};
  }
}

int64_t WordCounts::drop_rarest(int64_t letters) {
  std::map<int64_t, int64_t> letters_at;  // by count
  for (const Entry& entry : entries_) letters_at[entry.count] += entry.length;
  int64_t left = letters_, rarest_kept = 0;
  for (auto at = letters_at.begin(); left > letters; ++at) {
    left -= at->second;
    rarest_kept = at->first + 1;
  }
  WordCounts kept;
  for (const Entry& entry : entries_)
    if (entry.count >= rarest_kept) kept.add_entry(entry, word_of(entry).data());
  const int64_t dropped = words() - kept.words();
  *this = std::move(kept);
  return dropped;
}

}  // namespace gptmoe
