#pragma once
// Trains a byte-level BPE vocabulary from text.
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"
#include "tokenizer/word_counts.h"

namespace gptmoe {

// Counts the words of a corpus, then repeatedly merges the most frequent adjacent pair of tokens. The result depends on
// the counts alone: ties go to the lower left id, then the lower right id.
class BpeTrainer {
 public:
  // Training takes up to 40 bytes of memory for each byte of distinct words. If the distinct words exceed `max_letters`
  // bytes (below 2^31), the rarest are dropped until the others have at most half of `max_letters` bytes
  // (WordCounts::drop_rarest).
  explicit BpeTrainer(SplitPattern pattern = SplitPattern::gpt2, int64_t max_letters = int64_t{1} << 26);

  // Counts the words of one more document, or of a batch of documents, split by pattern(). The same batches in the same
  // order give the same result, with any number of threads.
  void add(std::string_view document);
  void add(const WordCounts& batch);

  SplitPattern pattern() const { return pattern_; }
  int64_t distinct_words() const { return counts_.words(); }
  int64_t dropped_words() const { return dropped_words_; }  // a word dropped twice counts twice

  // Checks, before hours of reading, whether train() can succeed. Throws UserError if `vocab_size` has no room for
  // bytes and special tokens, or exceeds kMaxVocabSize; if none of kEndOfTextNames is among the special tokens; or if a
  // special token is empty, a single byte, given twice or impossible to write to tokenizer.json.
  static void check(int64_t vocab_size, const std::vector<std::string>& special_tokens);

  // Ids 0..255 are the bytes in alphabet_order(). The merges in training order follow, then the special tokens. There
  // are `vocab_size` ids in total, or fewer if no pair is left that occurs twice. No merge results in a special token's
  // text, or in bytes that tokenizer.json writes as that text. The first of kEndOfTextNames among the special tokens
  // ends documents; load_tokenizer() chooses the same one when it reads the saved file. `progress`, if given, gets the
  // number of tokens after each merge. Throws what check() throws.
  Tokenizer train(int64_t vocab_size, const std::vector<std::string>& special_tokens = {std::string(kEndOfText)},
                  const std::function<void(int64_t tokens)>& progress = {}) const;

 private:
  SplitPattern pattern_;
  int64_t max_letters_;
  int64_t dropped_words_ = 0;
  WordCounts counts_;
};

}  // namespace gptmoe
