#pragma once
// A byte-level BPE tokenizer: text to token ids and back, without loss.
#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/word_cache.h"

namespace gptmoe {

// The token that ends documents in our own tokenizers.
inline constexpr std::string_view kEndOfText = "<|endoftext|>";
// Files do not say which token ends documents: it is the first of these names that the tokenizer has.
inline constexpr std::array<std::string_view, 3> kEndOfTextNames = {kEndOfText, "<|end_of_text|>", "</s>"};

// A token that is not made by merging. Special tokens mark structure: text never encodes to them, so no document can
// forge its own end. Other added tokens match their text wherever it occurs, before the split into words. Those with
// `normalized` unset match first, in the original text. Then the rest of the text is normalized, and those with
// `normalized` set match there.
struct AddedToken {
  int32_t id;
  bool special;
  bool normalized = false;  // with Vocabulary::nfc, its bytes are in NFC
};

constexpr int64_t kMaxVocabSize = 1 << 22;  // far beyond any tokenizer; bounds the memory that a damaged file can take

struct Vocabulary {
  std::vector<std::string> tokens;  // (V) bytes of each id; empty = an unused id
  std::vector<Merge> merges;        // by rank, ascending; results are not special tokens
  std::vector<AddedToken> added;
  SplitPattern pattern = SplitPattern::gpt2;
  bool nfc = false;                    // text is normalized to Unicode's NFC first, so decode returns that form
  bool whole_words = false;            // a word that is a token becomes that token, without merging
  std::optional<int32_t> end_of_text;  // ends every document in a shard
};

// What to say about a byte that has no token: "FF is never part of UTF-8, ...; convert the text to UTF-8".
std::string no_token_for(unsigned char byte);

// Immutable: threads share it.
class Tokenizer {
 public:
  // Every single byte that may be UTF-8 (utf8.h) must be among the tokens. The other 13 byte values may be missing.
  explicit Tokenizer(Vocabulary vocabulary);
  Tokenizer(Tokenizer&&) = default;
  Tokenizer(const Tokenizer&) = delete;  // word_ids_ points into vocabulary_
  Tokenizer& operator=(const Tokenizer&) = delete;

  int64_t vocab_size() const { return std::ssize(vocabulary_.tokens); }  // highest id + 1
  std::optional<int32_t> end_of_text() const { return vocabulary_.end_of_text; }
  const Vocabulary& vocabulary() const { return vocabulary_; }
  // The bytes that have a token.
  const std::bitset<256>& known_bytes() const { return known_bytes_; }
  // Whether `id` has a token.
  bool knows(int32_t id) const {
    return id >= 0 && id < vocab_size() && !vocabulary_.tokens[static_cast<size_t>(id)].empty();
  }

  // Appends to `ids` the tokens of `text`, which is normalized and split into words as the vocabulary says. The text of
  // a special token is ordinary text here. Without nfc, decode(encode(text)) == text for all known bytes. Throws
  // UserError naming the position of a byte that has no token.
  void encode(std::string_view text, WordCache& cache, std::vector<int32_t>& ids) const;
  std::vector<int32_t> encode(std::string_view text) const;
  // Whether a long text's pieces, cut as text_cuts.h says, encode to the same ids as the whole text.
  bool encodes_pieces() const { return !in_text_.spans_cuts() && !in_normalized_.spans_cuts(); }

  // The bytes of `ids`, which need not be valid UTF-8 (a character can span tokens). Throws UserError on an unknown id.
  std::string decode(std::span<const int32_t> ids) const;

 private:
  void require_known_bytes(std::string_view text) const;
  void encode_normalized(std::string_view text, WordCache& cache, std::vector<int32_t>& ids) const;
  void encode_words(std::string_view text, WordCache& cache, std::vector<int32_t>& ids) const;
  void encode_new_word(std::string_view word, std::vector<int32_t>& ids) const;

  Vocabulary vocabulary_;
  std::bitset<256> known_bytes_;
  MergeTable merge_table_;
  std::unordered_map<std::string_view, int32_t> word_ids_;  // of vocabulary_.tokens; only with whole_words
  AddedTokens in_text_, in_normalized_;
};

}  // namespace gptmoe
