#pragma once
// Says which elements of a ParamTable's storage have a counterpart in another tensor. For example, one of Adam's
// moments covers all elements, or one rank's part of them.
#include <algorithm>
#include <cstdint>
#include <vector>

namespace gptmoe {

class Partition {
 public:
  struct Piece {
    int64_t offset, count;  // elements of the table's storage
    int64_t at;             // offset of the piece in the other tensor
    bool replicated;        // whether every rank holds the piece
  };

  // Appends a piece, which comes after the existing pieces both in the tensor and in the table.
  void add(int64_t offset, int64_t count, bool replicated = false) {
    pieces_.push_back({offset, count, count_, replicated});
    count_ += count;
  }

  int64_t count() const { return count_; }
  const std::vector<Piece>& pieces() const { return pieces_; }
  // Whether every rank holds all pieces.
  bool replicated() const {
    return std::all_of(pieces_.begin(), pieces_.end(), [](const Piece& piece) { return piece.replicated; });
  }

  // The elements that are in both partitions. In the new partition, the pieces follow one another without gaps.
  Partition common_with(const Partition& other) const {
    Partition common;
    for (const Piece& piece : pieces_)
      for (const Piece& each : other.within(piece.offset, piece.count))
        common.add(each.offset, each.count, piece.replicated);
    return common;
  }

  // The elements that `other` does not have, likewise.
  Partition without(const Partition& other) const {
    Partition rest;
    for (const Piece& piece : pieces_) {
      int64_t at = piece.offset;
      for (const Piece& each : other.within(piece.offset, piece.count)) {
        if (at < each.offset) rest.add(at, each.offset - at, piece.replicated);
        at = each.offset + each.count;
      }
      const int64_t end = piece.offset + piece.count;
      if (at < end) rest.add(at, end - at, piece.replicated);
    }
    return rest;
  }

  // The pieces within elements [offset, offset + count) of the table.
  std::vector<Piece> within(int64_t offset, int64_t count) const {
    std::vector<Piece> found;
    for (const Piece& piece : pieces_) {
      const int64_t begin = std::max(offset, piece.offset), end = std::min(offset + count, piece.offset + piece.count);
      if (begin < end) found.push_back({begin, end - begin, piece.at + begin - piece.offset, piece.replicated});
    }
    return found;
  }

 private:
  std::vector<Piece> pieces_;
  int64_t count_ = 0;
};

}  // namespace gptmoe
