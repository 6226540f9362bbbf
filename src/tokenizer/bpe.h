#pragma once
// Byte-pair merging of one word (Sennrich, Haddow, Birch 2016; over bytes as in Radford et al. 2019).
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace gptmoe {

// Adjacent tokens `left` and `right` become the token `result`; the lowest rank goes first. Tokenizers trained by
// merging give every pair its own rank; in tiktoken's, all pairs with the same result share that result's rank.
struct Merge {
  int32_t left, right, result, rank;
};

class MergeTable {
 public:
  // If a pair has two merges, the later one counts. `byte_ids` are the tokens of single bytes. `token_bytes` holds
  // every token's length; a merge's result is as long as its parts together.
  MergeTable(const std::vector<Merge>& merges, const std::array<int32_t, 256>& byte_ids,
             std::vector<int32_t> token_bytes);

  // Appends to `ids` the tokens left after repeatedly merging the adjacent pair of lowest rank in the word's bytes
  // (ties: the leftmost). Time grows linearly with the length of the word (see encode_long() in bpe.cpp).
  void encode_word(std::string_view word, std::vector<int32_t>& ids) const;

 private:
  struct Rule {
    int32_t left, right, rank, result;
  };

  const Rule& find(int32_t left, int32_t right) const;
  void encode_short(std::string_view word, std::vector<int32_t>& ids) const;
  void encode_long(std::string_view word, std::vector<int32_t>& ids) const;
  bool stand_together(std::string_view both, int32_t left, int32_t right) const;

  std::vector<Rule> slots_;  // a hash table with open addressing; its size is a power of two
  int shift_;
  std::array<int32_t, 256> byte_ids_;
  std::vector<int32_t> token_bytes_;
};

}  // namespace gptmoe
