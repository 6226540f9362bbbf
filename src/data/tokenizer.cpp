#include "data/tokenizer.h"

#include <algorithm>

#include "base/check.h"
#include "data/pretokenize.h"

namespace gptmoe {
namespace {

constexpr size_t kCacheWords = 1 << 17;  // about 20 MB of English
constexpr size_t kCacheWordBytes = 64;   // longer words hardly recur

constexpr int32_t kNone = -1;

std::array<int32_t, 256> find_byte_ids(const Vocabulary& vocabulary) {
  std::vector<bool> added(vocabulary.tokens.size());
  for (const AddedToken& token : vocabulary.added) added[static_cast<size_t>(token.id)] = true;
  std::array<int32_t, 256> ids;
  ids.fill(kNone);
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    if (token.size() == 1 && !added[id]) ids[static_cast<unsigned char>(token[0])] = static_cast<int32_t>(id);
  }
  return ids;
}

}  // namespace

const std::vector<int32_t>* WordCache::find(std::string_view word) const {
  const auto entry = words_.find(word);
  return entry == words_.end() ? nullptr : &entry->second;
}

void WordCache::insert(std::string_view word, std::vector<int32_t> ids) {
  if (words_.size() < kCacheWords && word.size() <= kCacheWordBytes) words_.emplace(word, std::move(ids));
}

Tokenizer::Tokenizer(Vocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)), merge_table_(vocabulary_.merges), byte_ids_(find_byte_ids(vocabulary_)) {
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte)
    GPTMOE_CHECK(byte_ids_[byte] != kNone, "byte ", byte, " has no token");
  const auto& tokens = vocabulary_.tokens;
  const auto end = std::find(tokens.begin(), tokens.end(), kEndOfText);
  if (end != tokens.end()) end_of_text_ = static_cast<int32_t>(end - tokens.begin());
  for (const AddedToken& token : vocabulary_.added) {
    if (token.special) continue;
    any_in_text_ = true;
    in_text_[static_cast<unsigned char>(tokens[static_cast<size_t>(token.id)].at(0))].push_back(token);
  }
  for (auto& group : in_text_)
    std::stable_sort(group.begin(), group.end(), [&](const AddedToken& a, const AddedToken& b) {
      return tokens[static_cast<size_t>(a.id)].size() > tokens[static_cast<size_t>(b.id)].size();
    });
}

const AddedToken* Tokenizer::added_at(std::string_view text, size_t at) const {
  for (const AddedToken& token : in_text_[static_cast<unsigned char>(text[at])])
    if (text.substr(at).starts_with(vocabulary_.tokens[static_cast<size_t>(token.id)])) return &token;
  return nullptr;
}

void Tokenizer::encode(std::string_view text, WordCache& cache, std::vector<int32_t>& ids) const {
  size_t begin = 0;
  for (size_t at = 0; any_in_text_ && at < text.size();) {
    const AddedToken* token = added_at(text, at);
    if (!token) {
      ++at;
      continue;
    }
    encode_plain(text.substr(begin, at - begin), cache, ids);
    ids.push_back(token->id);
    at = begin = at + vocabulary_.tokens[static_cast<size_t>(token->id)].size();
  }
  encode_plain(text.substr(begin), cache, ids);
}

void Tokenizer::encode_plain(std::string_view text, WordCache& cache, std::vector<int32_t>& ids) const {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = gpt2_word_end(text, begin);
    const std::string_view word = text.substr(begin, end - begin);
    begin = end;
    if (const auto* known = cache.find(word)) {
      ids.insert(ids.end(), known->begin(), known->end());
      continue;
    }
    std::vector<int32_t> symbols;
    symbols.reserve(word.size());
    for (unsigned char byte : word) symbols.push_back(byte_ids_[byte]);
    merge_table_.merge_word(symbols);
    ids.insert(ids.end(), symbols.begin(), symbols.end());
    cache.insert(word, std::move(symbols));
  }
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
