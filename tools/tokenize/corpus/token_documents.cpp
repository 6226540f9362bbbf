#include "corpus/token_documents.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace gptmoe {

TokenDocuments::TokenDocuments(TokenFile file, std::optional<int32_t> end, int64_t first, int64_t document)
    : file_(std::move(file)), end_(end), position_(first), document_(document) {
  GPTMOE_CHECK(first >= 0 && first <= file_.size());
  if (file_.index()) file_.index()->seek(document);
}

std::optional<TokenPiece> TokenDocuments::next() {
  if (position_ == file_.size()) return std::nullopt;
  read_block();
  TokenPiece piece{{}, position_, false};
  const int64_t end = end_of_piece(piece.ends);
  piece.ids =
      std::span(block_).subspan(static_cast<size_t>(position_ - block_begin_), static_cast<size_t>(end - position_));
  position_ = end;
  document_ += piece.ends;
  return piece;
}

void TokenDocuments::read_block() {
  constexpr int64_t kBlock = int64_t{1} << 18;
  if (position_ >= block_begin_ && position_ < block_begin_ + std::ssize(block_)) return;
  block_begin_ = position_;
  block_.resize(static_cast<size_t>(std::min(kBlock, file_.size() - position_)));
  file_.read(position_, std::ssize(block_), block_.data());
}

int64_t TokenDocuments::end_of_piece(bool& ends) {
  const int64_t block_end = block_begin_ + std::ssize(block_);
  if (file_.index()) {
    if (!document_end_) {
      int64_t end = 0;
      for (; (end = file_.index()->next_end()) <= position_; ++document_) {
      }
      document_end_ = end;
    }
    const int64_t end = std::min(*document_end_, block_end);
    ends = end == *document_end_;
    if (ends) document_end_.reset();
    return end;
  }
  if (end_) {
    const auto found = std::find(block_.begin() + (position_ - block_begin_), block_.end(), *end_);
    ends = found != block_.end();
    if (ends) return block_begin_ + (found - block_.begin()) + 1;
  }
  ends = block_end == file_.size();
  return block_end;
}

}  // namespace gptmoe
