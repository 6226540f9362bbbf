#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/check.h"
#include "tokenizer/nfc.h"
#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

constexpr int32_t kNone = -1;

std::vector<bool> added_ids(const Vocabulary& vocabulary) {
  std::vector<bool> added(vocabulary.tokens.size());
  for (const AddedToken& token : vocabulary.added) added[static_cast<size_t>(token.id)] = true;
  return added;
}

MergeTable make_merge_table(const Vocabulary& vocabulary, std::bitset<256>& known_bytes) {
  const std::vector<bool> added = added_ids(vocabulary);
  std::array<int32_t, 256> byte_ids;
  byte_ids.fill(kNone);
  std::vector<int32_t> token_bytes;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    token_bytes.push_back(static_cast<int32_t>(token.size()));
    if (token.size() == 1 && !added[id]) byte_ids[static_cast<unsigned char>(token[0])] = static_cast<int32_t>(id);
  }
  for (size_t byte = 0; byte < byte_ids.size(); ++byte) {
    known_bytes[byte] = byte_ids[byte] != kNone;
    GPTMOE_CHECK(known_bytes[byte] || !may_be_utf8(static_cast<unsigned char>(byte)), "byte ", byte, " has no token");
  }
  return MergeTable(vocabulary.merges, byte_ids, std::move(token_bytes));
}

// Calls encode_rest for the text between the added tokens.
template <typename EncodeRest>
void encode_around(const AddedTokens& added, std::string_view text, std::vector<int32_t>& ids, EncodeRest encode_rest) {
  for (size_t begin = 0; begin < text.size();) {
    const AddedTokens::Match match = added.find(text, begin);
    if (match.at > begin) encode_rest(text.substr(begin, match.at - begin));
    if (match.bytes > 0) ids.push_back(match.id);
    begin = match.at + match.bytes;
  }
}

}  // namespace

std::string no_token_for(unsigned char byte) {
  char name[3];
  std::snprintf(name, sizeof name, "%02X", byte);
  return text(name, " is never part of UTF-8, and this tokenizer has no token for it; convert the text to UTF-8");
}

Tokenizer::Tokenizer(Vocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)), merge_table_(make_merge_table(vocabulary_, known_bytes_)) {
  const auto& tokens = vocabulary_.tokens;
  for (const AddedToken& token : vocabulary_.added) {
    if (token.special) continue;
    (token.normalized ? in_normalized_ : in_text_).add(tokens[static_cast<size_t>(token.id)], token.id);
  }
  if (!vocabulary_.whole_words) return;
  const std::vector<bool> added = added_ids(vocabulary_);
  for (size_t id = 0; id < tokens.size(); ++id)
    if (!added[id]) word_ids_.emplace(tokens[id], static_cast<int32_t>(id));
}

void Tokenizer::require_known_bytes(std::string_view text) const {
  if (known_bytes_.all()) return;
  for (size_t at = 0; at < text.size(); ++at)
    if (const auto byte = static_cast<unsigned char>(text[at]); !known_bytes_[byte])
      user_error("byte ", at, ": ", no_token_for(byte));
}

void Tokenizer::encode(std::string_view text, WordCache& cache, std::vector<int32_t>& ids) const {
  require_known_bytes(text);
  if (in_text_.empty()) return encode_normalized(text, cache, ids);
  encode_around(in_text_, text, ids, [&](std::string_view rest) { encode_normalized(rest, cache, ids); });
}

void Tokenizer::encode_normalized(std::string_view text, WordCache& cache, std::vector<int32_t>& ids) const {
  std::string normalized;
  if (vocabulary_.nfc && !is_surely_nfc(text)) text = normalized = to_nfc(text);
  if (in_normalized_.empty()) return encode_words(text, cache, ids);
  encode_around(in_normalized_, text, ids, [&](std::string_view rest) { encode_words(rest, cache, ids); });
}

// Works in blocks of words. All words of a block are cut before the first is looked up, so that the cache's memory for
// them is prefetched in time.
void Tokenizer::encode_words(std::string_view text, WordCache& cache, std::vector<int32_t>& ids) const {
  constexpr size_t kBlock = 32;
  std::array<WordCache::Key, kBlock> keys;
  std::array<int32_t, kBlock * WordCache::kMaxBytes> buffer;  // faster than appending to a vector one by one
  for (size_t begin = 0; begin < text.size();) {
    size_t words = 0;
    for (; words < kBlock && begin < text.size(); ++words) {
      const size_t end = word_end(vocabulary_.pattern, text, begin);
      keys[words] = WordCache::key_of(text.substr(begin, end - begin), text.size() - begin);
      cache.prefetch(keys[words]);
      begin = end;
    }
    size_t buffered = 0;
    const auto flush = [&] {
      ids.insert(ids.end(), buffer.begin(), buffer.begin() + static_cast<int64_t>(buffered));
      buffered = 0;
    };
    for (size_t i = 0; i < words; ++i) {
      const size_t known = cache.find(keys[i], &buffer[buffered]);
      buffered += known;
      if (known > 0) continue;
      flush();
      const size_t first = ids.size();
      encode_new_word(keys[i].word, ids);
      cache.insert(keys[i], std::span(ids).subspan(first));
    }
    flush();
  }
}

void Tokenizer::encode_new_word(std::string_view word, std::vector<int32_t>& ids) const {
  if (vocabulary_.whole_words) {
    const auto whole = word_ids_.find(word);
    if (whole != word_ids_.end()) return ids.push_back(whole->second);
  }
  merge_table_.encode_word(word, ids);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  WordCache cache;
  std::vector<int32_t> ids;
  encode(text, cache, ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string bytes;
  for (const int32_t& id : ids) {
    if (!knows(id))
      user_error("token ", &id - ids.data(), " has id ", static_cast<uint32_t>(id), ", unknown to a tokenizer of ",
                 vocab_size(), " entries; use the tokenizer that wrote it");
    bytes += vocabulary_.tokens[static_cast<size_t>(id)];
  }
  return bytes;
}

}  // namespace gptmoe
