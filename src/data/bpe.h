#pragma once
// Byte-pair merging of one word (Sennrich, Haddow, Birch 2016; over bytes as in Radford et al. 2019).
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

namespace gptmoe {

// Tokens `left` and `right`, standing side by side, become the token `result`.
struct Merge {
  int32_t left, right, result;
};

class MergeTable {
 public:
  // Merges in order of rank, first learnt first. Where a pair occurs twice the later rank counts.
  explicit MergeTable(const std::vector<Merge>& merges);

  // symbols = what remains after merging, again and again, the adjacent pair of lowest rank, the leftmost of equals.
  // Time O(n log n) in the length of the word, so that a megabyte without a space is no trouble.
  void merge_word(std::vector<int32_t>& symbols) const;

 private:
  struct Rule {
    int32_t rank, result;
  };
  const Rule* find(int32_t left, int32_t right) const;

  std::unordered_map<uint64_t, Rule> rules_;
};

}  // namespace gptmoe
