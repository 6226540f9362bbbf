#include "tokenizer/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/json_source.h"
#include "tokenizer/pair_merger.h"
#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

// Why `token` cannot be a special token; empty if it can.
std::string_view why_not_special(const std::string& token) {
  if (token.size() < 2) return "it is empty or a single byte";
  if (find_malformed(token) != std::string_view::npos) return "it is not valid UTF-8, and tokenizer.json must be";
  if (const auto bytes = from_byte_names(token); bytes && bytes->size() == 1)
    return "tokenizer.json uses this text for a byte";
  return "";
}

}  // namespace

BpeTrainer::BpeTrainer(SplitPattern pattern, int64_t max_letters) : pattern_(pattern), max_letters_(max_letters) {
  GPTMOE_CHECK(max_letters > 0 && max_letters <= std::numeric_limits<int32_t>::max());
}

void BpeTrainer::add(std::string_view document) {
  WordCounts words;
  words.add(pattern_, document);
  add(words);
}

void BpeTrainer::add(const WordCounts& batch) {
  counts_.merge(batch);
  if (counts_.letters() > max_letters_) dropped_words_ += counts_.drop_rarest(max_letters_ / 2);
}

void BpeTrainer::check(int64_t vocab_size, const std::vector<std::string>& special_tokens) {
  std::set<std::string_view> seen;
  for (const std::string& special : special_tokens) {
    const std::string_view why = seen.insert(special).second ? why_not_special(special) : "it is given twice";
    if (!why.empty()) user_error(in_quotes(special), " cannot be a special token: ", why);
  }
  if (std::ranges::find_first_of(kEndOfTextNames, seen) == kEndOfTextNames.end())
    user_error("none of the special tokens can end documents; give ", kEndOfTextNames[0], ", ", kEndOfTextNames[1],
               " or ", kEndOfTextNames[2], " as one of them");
  const int64_t fixed = 256 + std::ssize(special_tokens);
  if (vocab_size < fixed || vocab_size > kMaxVocabSize)
    user_error("a vocabulary of ", vocab_size, " entries cannot be trained; give at least ", fixed, " (256 bytes, ",
               special_tokens.size(), " special) and at most ", kMaxVocabSize);
}

Tokenizer BpeTrainer::train(int64_t vocab_size, const std::vector<std::string>& special_tokens,
                            const std::function<void(int64_t tokens)>& progress) const {
  check(vocab_size, special_tokens);
  Vocabulary vocabulary;
  vocabulary.pattern = pattern_;
  auto& tokens = vocabulary.tokens;
  std::array<int32_t, 256> byte_ids;
  for (uint8_t byte : alphabet_order()) {
    byte_ids[byte] = static_cast<int32_t>(tokens.size());
    tokens.emplace_back(1, static_cast<char>(byte));
  }
  std::unordered_set<std::string> not_learnt(special_tokens.begin(), special_tokens.end());
  for (const std::string& special : special_tokens)
    if (auto named = from_byte_names(special)) not_learnt.insert(std::move(*named));
  PairMerger merger(counts_, byte_ids);
  while (std::ssize(tokens) + std::ssize(special_tokens) < vocab_size) {
    const auto pair = merger.take_best();
    if (!pair) break;
    std::string bytes = tokens[static_cast<size_t>(pair->left)] + tokens[static_cast<size_t>(pair->right)];
    if (not_learnt.contains(bytes)) continue;
    const auto result = static_cast<int32_t>(tokens.size());
    merger.merge(*pair, result);
    tokens.push_back(std::move(bytes));
    vocabulary.merges.push_back({pair->left, pair->right, result, static_cast<int32_t>(vocabulary.merges.size())});
    if (progress) progress(std::ssize(tokens));
  }
  const auto end_of_text = std::ranges::find_first_of(kEndOfTextNames, special_tokens);
  for (const std::string& special : special_tokens) {
    const auto id = static_cast<int32_t>(tokens.size());
    tokens.push_back(special);
    vocabulary.added.push_back({id, true});
    if (special == *end_of_text) vocabulary.end_of_text = id;
  }
  return Tokenizer(std::move(vocabulary));
}

}  // namespace gptmoe
