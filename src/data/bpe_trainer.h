#pragma once
// Learning a byte-level BPE vocabulary from text.
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/tokenizer.h"

namespace gptmoe {

// Counts words (gpt2_word_end) of all documents, then repeatedly merges the most frequent adjacent pair of tokens.
// The result depends on the counts alone: equal pairs go to the lower left id, then the lower right id.
class BpeTrainer {
 public:
  void add(std::string_view document);

  // Ids: 0..255 the bytes in alphabet_order(), then merges as learnt, then the special tokens: `vocab_size` in all, or
  // fewer when no pair is left that occurs twice. `progress`, if given, hears the number of tokens after each merge.
  // Throws UserError when `vocab_size` has no room for bytes and special tokens or exceeds kMaxVocabSize.
  Tokenizer train(int64_t vocab_size, const std::vector<std::string>& special_tokens = {std::string(kEndOfText)},
                  const std::function<void(int64_t tokens)>& progress = {}) const;

  int64_t distinct_words() const { return std::ssize(counts_); }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view word) const { return std::hash<std::string_view>{}(word); }
  };
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> counts_;
};

}  // namespace gptmoe
