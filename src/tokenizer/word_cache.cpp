#include "tokenizer/word_cache.h"

#include <algorithm>

namespace gptmoe {
namespace {

constexpr size_t kMaxSpilled = size_t{1} << 22;  // ids or bytes; the cache is cleared before it holds more

}  // namespace

bool WordCache::same_text(const Entry& entry, std::string_view word) const {
  const auto at = static_cast<size_t>(entry.ids[1]);
  return std::string_view(spilled_text_).substr(at, entry.bytes) == word;
}

size_t WordCache::copy_spilled(const Entry& entry, int32_t* out) const {
  std::copy_n(spilled_ids_.begin() + entry.ids[0], entry.count, out);
  return entry.count;
}

void WordCache::insert(const Key& key, std::span<const int32_t> ids) {
  if (key.word.size() > kMaxBytes) return;
  if (spilled_ids_.size() > kMaxSpilled || spilled_text_.size() > kMaxSpilled) {
    std::fill(entries_.begin(), entries_.end(), Entry{});
    spilled_ids_.clear();
    spilled_text_.clear();
  }
  Entry entry{key.low, key.high, {}, static_cast<uint8_t>(key.word.size()), static_cast<uint8_t>(ids.size())};
  if (ids.size() > kInlineIds || key.word.size() > kKeyBytes) {
    entry.ids = {static_cast<int32_t>(spilled_ids_.size()), static_cast<int32_t>(spilled_text_.size()), 0};
    spilled_ids_.insert(spilled_ids_.end(), ids.begin(), ids.end());
    if (key.word.size() > kKeyBytes) spilled_text_ += key.word;
  } else {
    std::copy(ids.begin(), ids.end(), entry.ids.begin());
  }
  auto* const set = const_cast<Entry*>(set_of(key));
  auto* const empty = std::find_if(set, set + kWays, [](const Entry& other) { return other.bytes == 0; });
  (empty != set + kWays ? *empty : set[next_victim_++ % kWays]) = entry;
}

}  // namespace gptmoe
