#include "data/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <limits>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "data/byte_alphabet.h"
#include "data/pair_merger.h"

namespace gptmoe {
namespace {

constexpr int32_t kReserved = -1;  // the text of a special token

// Tokens as they are learnt, found by what they spell.
class Learner {
 public:
  Learner(int64_t vocab_size, const std::vector<std::string>& special_tokens) {
    for (uint8_t byte : alphabet_order()) byte_ids_[byte] = id_of(std::string(1, static_cast<char>(byte)));
    for (const std::string& special : special_tokens)
      if (special.empty() || !ids_.emplace(special, kReserved).second)
        user_error("\"", special, "\" cannot be a special token: it is empty, a single byte or given twice");
    const int64_t fixed = std::ssize(ids_);
    if (vocab_size < fixed || vocab_size > kMaxVocabSize)
      user_error("a vocabulary of ", vocab_size, " entries cannot be trained; give at least ", fixed, " (256 bytes, ",
                 special_tokens.size(), " special) and at most ", kMaxVocabSize);
    max_tokens_ = vocab_size - std::ssize(special_tokens);
  }

  void learn(const WordCounts& words, const std::function<void(int64_t)>& progress) {
    PairMerger merger(words, byte_ids_);
    while (std::ssize(vocabulary_.tokens) < max_tokens_) {
      const auto best = merger.best();
      if (!best) return;
      const auto [left, right] = best->pair;
      const int32_t result =
          id_of(vocabulary_.tokens[static_cast<size_t>(left)] + vocabulary_.tokens[static_cast<size_t>(right)]);
      if (result == kReserved) {
        merger.forbid(best->pair);
        continue;
      }
      merger.merge(best->pair, result);
      if (best->again) continue;
      vocabulary_.merges.push_back({left, right, result, static_cast<int32_t>(vocabulary_.merges.size())});
      if (progress) progress(std::ssize(vocabulary_.tokens));
    }
  }

  Vocabulary finish(SplitPattern pattern, const std::vector<std::string>& special_tokens) && {
    for (const std::string& special : special_tokens) {
      const auto id = static_cast<int32_t>(vocabulary_.tokens.size());
      vocabulary_.tokens.push_back(special);
      vocabulary_.added.push_back({id, true});
      if (!vocabulary_.end_of_text || special == kEndOfText) vocabulary_.end_of_text = id;
    }
    vocabulary_.pattern = pattern;
    return std::move(vocabulary_);
  }

 private:
  int32_t id_of(std::string bytes) {
    const auto [entry, fresh] = ids_.emplace(bytes, static_cast<int32_t>(vocabulary_.tokens.size()));
    if (fresh) vocabulary_.tokens.push_back(std::move(bytes));
    return entry->second;
  }

  Vocabulary vocabulary_;
  int64_t max_tokens_;  // special ones apart
  std::array<int32_t, 256> byte_ids_;
  std::unordered_map<std::string, int32_t> ids_;
};

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

Tokenizer BpeTrainer::train(int64_t vocab_size, const std::vector<std::string>& special_tokens,
                            const std::function<void(int64_t tokens)>& progress) const {
  Learner learner(vocab_size, special_tokens);
  learner.learn(counts_, progress);
  return Tokenizer(std::move(learner).finish(pattern_, special_tokens));
}

}  // namespace gptmoe
