#pragma once
// Byte-pair merging of one word (Sennrich, Haddow, Birch 2016; over bytes as in Radford et al. 2019).
#include <cstdint>
#include <vector>

namespace gptmoe {

// Tokens `left` and `right`, standing side by side, become the token `result`; the lowest rank goes first. Tokenizers
// learnt by merging give every pair a rank of its own; tiktoken's give all pairs of one result that result's rank.
struct Merge {
  int32_t left, right, result, rank;
};

class MergeTable {
 public:
  // Where a pair occurs twice the later one counts.
  explicit MergeTable(const std::vector<Merge>& merges);

  // symbols = what remains after merging, again and again, the adjacent pair of lowest rank, the leftmost of equals.
  void merge_word(std::vector<int32_t>& symbols) const;
};

}  // namespace gptmoe
