#include "data/word_counts.h"

#include <cstring>
#include <functional>
#include <map>
#include <utility>

#include "base/check.h"

namespace gptmoe {
namespace {

template <typename T>
uint64_t load(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
void store(char* to, uint64_t value) {
  const T part = static_cast<T>(value);
  std::memcpy(to, &part, sizeof part);
}

uint32_t mix(uint64_t a, uint64_t b) {
  uint64_t hash = a * 0x9E3779B97F4A7C15ull ^ (b ^ b >> 31) * 0xD6E8FEB86659FD93ull;
  hash = (hash ^ hash >> 32) * 0xFF51AFD7ED558CCDull;
  return static_cast<uint32_t>(hash >> 32);
}

}  // namespace

// Two loads that may overlap take in every byte of a short word without reading past its end.
WordCounts::Key WordCounts::key_of(std::string_view word) {
  const char* at = word.data();
  const size_t n = word.size();
  const auto length = static_cast<uint32_t>(n);
  if (n > kInline) return {{}, length, static_cast<uint32_t>(std::hash<std::string_view>{}(word))};
  uint64_t first, last;
  if (n >= 8) {
    first = load<uint64_t>(at), last = load<uint64_t>(at + n - 8);
  } else if (n >= 4) {
    first = load<uint32_t>(at), last = load<uint32_t>(at + n - 4);
  } else {
    first = load<uint8_t>(at) | load<uint8_t>(at + n / 2) << 8, last = load<uint8_t>(at + n - 1);
  }
  return {{first, last}, length, mix(first, last + (static_cast<uint64_t>(n) << 56))};
}

std::string_view WordCounts::word_of(const Entry& entry, Buffer& buffer) const {
  const size_t n = entry.length;
  if (n > kInline) return std::string_view(long_words_).substr(entry.key[0], n);
  char* at = buffer.data();
  if (n >= 8) {
    store<uint64_t>(at, entry.key[0]), store<uint64_t>(at + n - 8, entry.key[1]);
  } else if (n >= 4) {
    store<uint32_t>(at, entry.key[0]), store<uint32_t>(at + n - 4, entry.key[1]);
  } else {
    store<uint8_t>(at, entry.key[0]), store<uint8_t>(at + n / 2, entry.key[0] >> 8);
    store<uint8_t>(at + n - 1, entry.key[1]);
  }
  return {at, n};
}

void WordCounts::add(SplitPattern pattern, std::string_view text) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = word_end(pattern, text, begin);
    add_word(text.substr(begin, end - begin), 1);
    begin = end;
  }
}

void WordCounts::add_word(std::string_view word, int64_t times) {
  GPTMOE_CHECK(!word.empty() && word.size() < UINT32_MAX);
  add_key(key_of(word), word, times);
}

void WordCounts::merge(const WordCounts& other) {
  Buffer buffer;
  for (const Entry& entry : other.entries_) add_key(entry, other.word_of(entry, buffer), entry.count);
}

void WordCounts::add_key(const Key& key, std::string_view word, int64_t times) {
  if (2 * (entries_.size() + 1) > slots_.size()) grow();
  const size_t mask = slots_.size() - 1;
  size_t at = key.hash & mask;
  for (; slots_[at].entry != kFree; at = (at + 1) & mask) {
    if (slots_[at].hash != key.hash) continue;
    Entry& entry = entries_[slots_[at].entry];
    if (entry.length != key.length) continue;
    const bool same = key.length <= kInline
                          ? entry.key == key.key
                          : std::memcmp(long_words_.data() + entry.key[0], word.data(), word.size()) == 0;
    if (!same) continue;
    entry.count += times;
    return;
  }
  slots_[at] = {key.hash, static_cast<uint32_t>(entries_.size())};
  entries_.push_back({key, times});
  letters_ += key.length;
  if (key.length > kInline) {
    entries_.back().key[0] = long_words_.size();
    long_words_ += word;
  }
}

void WordCounts::grow() {
  slots_.assign(slots_.empty() ? 1024 : 2 * slots_.size(), Slot{});
  const size_t mask = slots_.size() - 1;
  for (size_t i = 0; i < entries_.size(); ++i) {
    size_t at = entries_[i].hash & mask;
    while (slots_[at].entry != kFree) at = (at + 1) & mask;
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
  for_each([&](std::string_view word, int64_t count) {
    if (count >= rarest_kept) kept.add_word(word, count);
  });
  const int64_t dropped = words() - kept.words();
  *this = std::move(kept);
  return dropped;
}

}  // namespace gptmoe
