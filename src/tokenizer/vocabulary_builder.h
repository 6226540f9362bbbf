#pragma once
// Builds a Vocabulary from files that write tokens in GPT-2's byte names.
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tokenizer/json_source.h"
#include "tokenizer/tokenizer.h"

namespace gptmoe {

// Errors are UserErrors without a place: the caller puts file and JSON path or line before them. Call the functions in
// the order of their declarations. The names given to add_token() must outlive the builder.
class VocabularyBuilder {
 public:
  // `nfc`: Vocabulary::nfc.
  explicit VocabularyBuilder(bool nfc = false) { out_.nfc = nfc; }

  void add_added(const std::string& content, const Json& id, bool special, bool normalized);
  // Adds an entry of the vocabulary. If the entry is an added token, `name` is the token's text and not in byte names.
  void add_token(std::string_view name, const Json& id);
  // Call when all tokens are known. Places the added tokens at their ids. Each id must be the one that Hugging Face's
  // tokenizers library gives the token, since that library ignores the ids in the file. If the vocabulary lists the
  // token too, that is the id in the vocabulary. The other tokens have consecutive ids, in the order of the list,
  // starting at the vocabulary's number of entries.
  void place_added();
  // Checks that every byte that may be UTF-8 (utf8.h) has a token. The published GPT-NeoX-20B lacks the other bytes.
  void check_bytes() const;
  // Adds the merge of the next rank.
  void add_merge(std::string_view left, std::string_view right);
  Vocabulary take() { return std::move(out_); }

 private:
  struct Added {
    std::string content;
    bool special;
  };

  void place(int32_t id, std::string bytes);
  int32_t find(std::string_view name) const;
  size_t length(int32_t id) const { return out_.tokens[static_cast<size_t>(id)].size(); }

  std::map<int32_t, Added> added_;
  std::unordered_map<std::string_view, int32_t> ids_;  // by name; of the vocabulary's tokens only
  std::string result_;                                 // of the current merge
  Vocabulary out_;
};

}  // namespace gptmoe
