#pragma once
// A byte-level BPE tokenizer: any bytes to token ids and back, without loss.
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/bpe.h"

namespace gptmoe {

// Ends every document in a shard.
inline constexpr std::string_view kEndOfText = "<|endoftext|>";

// A token that is not made by merging. Special ones mark structure: text never encodes to them, so no document can
// forge its own end. The others stand for their text wherever it occurs, ahead of the split into words.
struct AddedToken {
  int32_t id;
  bool special;
};

constexpr int64_t kMaxVocabSize = 1 << 22;  // far beyond any tokenizer; bounds what a damaged file can allocate

struct Vocabulary {
  std::vector<std::string> tokens;  // (V) what each id stands for, as bytes; empty = an unused id
  std::vector<Merge> merges;        // by rank; results are no added tokens
  std::vector<AddedToken> added;
};

// Words already encoded. One per thread; a full cache keeps what it has, the frequent words come first anyway.
class WordCache {
 public:
  // The ids of `word`, or nullptr.
  const std::vector<int32_t>* find(std::string_view word) const;
  void insert(std::string_view word, std::vector<int32_t> ids);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view word) const { return std::hash<std::string_view>{}(word); }
  };
  std::unordered_map<std::string, std::vector<int32_t>, Hash, std::equal_to<>> words_;
};

// Immutable: threads share it.
class Tokenizer {
 public:
  // All 256 single bytes must be among the tokens.
  explicit Tokenizer(Vocabulary vocabulary);

  int64_t vocab_size() const { return std::ssize(vocabulary_.tokens); }  // highest id + 1
  // The id of kEndOfText, if the vocabulary has one.
  std::optional<int32_t> end_of_text() const { return end_of_text_; }
  const Vocabulary& vocabulary() const { return vocabulary_; }
  // Whether `id` stands for something.
  bool knows(int32_t id) const {
    return id >= 0 && id < vocab_size() && !vocabulary_.tokens[static_cast<size_t>(id)].empty();
  }

  // ids += the tokens of `text`, split into words by gpt2_word_end(). The text of a special token is ordinary text
  // here. decode(encode(text)) == text for all bytes.
  void encode(std::string_view text, WordCache& cache, std::vector<int32_t>& ids) const;
  std::vector<int32_t> encode(std::string_view text) const;

  // The bytes of `ids`, which need not be valid UTF-8 (a character can span tokens). Throws UserError on an unknown id.
  std::string decode(std::span<const int32_t> ids) const;

 private:
  void encode_plain(std::string_view text, WordCache& cache, std::vector<int32_t>& ids) const;
  // The longest non-special added token at text[at], or nullptr.
  const AddedToken* added_at(std::string_view text, size_t at) const;

  Vocabulary vocabulary_;
  MergeTable merge_table_;
  std::array<int32_t, 256> byte_ids_{};
  std::array<std::vector<AddedToken>, 256> in_text_;  // non-special added tokens by first byte, longest first
  bool any_in_text_ = false;
  std::optional<int32_t> end_of_text_;
};

}  // namespace gptmoe
