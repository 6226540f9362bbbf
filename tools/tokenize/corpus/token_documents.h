#pragma once
// The ids of a TokenFile, document by document.
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "corpus/token_file.h"

namespace gptmoe {

// A document, or a part of a long one.
struct TokenPiece {
  std::span<const int32_t> ids;  // not empty; valid until the next call
  int64_t first;                 // the position of ids[0] in the file
  bool ends;                     // the document ends here
};

class TokenDocuments {
 public:
  // If the file has Megatron's index, documents end where the index says; in other files, after each id `end`. The end
  // of a file ends a document too. Starts at id `first`, in document `document` of the file.
  TokenDocuments(TokenFile file, std::optional<int32_t> end, int64_t first = 0, int64_t document = 0);

  const TokenFile& file() const { return file_; }
  // The next piece; nullopt at the end of the file. Leaves out Megatron's empty documents. Throws what
  // TokenFile::read() and MegatronIndex::next_end() throw.
  std::optional<TokenPiece> next();

  // Where the next piece begins.
  int64_t position() const { return position_; }
  int64_t document() const { return document_; }

 private:
  void read_block();
  int64_t end_of_piece(bool& ends);

  TokenFile file_;
  std::optional<int32_t> end_;
  int64_t position_, document_;
  std::optional<int64_t> document_end_;  // of the document at position_, if Megatron's index has given it
  std::vector<int32_t> block_;           // ids [block_begin_, block_begin_ + block_.size())
  int64_t block_begin_ = 0;
};

}  // namespace gptmoe
