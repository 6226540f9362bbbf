#pragma once
// Holds the words of a corpus as tokens while the most frequent adjacent pair is merged repeatedly.
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "tokenizer/word_counts.h"

namespace gptmoe {

// Counts are updated rather than recomputed: a pair knows its positions in the distinct words, so the time for a merge
// grows with the number of its occurrences, however long the words are.
//
// No two pairs ever spell the same token: a token's bytes were merged as if nothing surrounded them, since no earlier
// merge crossed the token's borders. So a merge only creates pairs that did not exist before. All occurrences of a new
// pair are known immediately, and its count only falls after that.
class PairMerger {
 public:
  struct Pair {
    int32_t left, right;
    auto operator<=>(const Pair&) const = default;
  };

  // byte_ids: the tokens, 0..255, of the single bytes. letters() + words() of `words` must be below 2^32 - 1.
  PairMerger(const WordCounts& words, const std::array<int32_t, 256>& byte_ids);

  // The most frequent pair (ties: the lower left, then the lower right id); nullopt if no pair occurs twice. Returns
  // each pair at most once: a pair that the caller does not merge then is never merged.
  std::optional<Pair> take_best();
  // Replaces `pair` with the new token `result`, from left to right in every word. The id of `result` is one above the
  // highest so far.
  void merge(Pair pair, int32_t result);

 private:
  // One byte of a word. A token's first and last bytes carry its id, and the bytes between them carry kInside.
  struct Cell {
    int32_t token;
    uint32_t word;
  };
  struct PairUse {
    Pair pair;
    int64_t count;              // its occurrences, weighted by their words' counts
    const uint32_t* positions;  // where `left` begins, ascending; some occurrences may be gone
    uint32_t size;
  };
  struct Candidate {
    int64_t count;
    Pair pair;
    // The greatest candidate in the heap is the best one.
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };
  // Occurrences that are being collected: of a pair of bytes, or of a token next to the pair that is being merged.
  struct Tally {
    int64_t count = 0;
    uint32_t size = 0;
    uint32_t* positions = nullptr;
  };
  struct Found {
    uint32_t tally, position;
  };

  void lay_out(const WordCounts& words, const std::array<int32_t, 256>& byte_ids);
  void index_pairs();
  void rewrite(const PairUse& use, int32_t result);
  void note(int32_t token, bool after, int64_t count, uint32_t position);
  void count_new_pairs(Pair pair, int32_t result);

  void add_pair(Pair pair, Tally& tally);  // gives the tally room for its positions
  PairUse& find(Pair pair);
  size_t free_place(Pair pair) const;
  void grow_table();
  void push(Candidate candidate);
  uint32_t* allocate(uint32_t size);

  std::vector<Cell> cells_;  // words, with one kBoundary before, between and after them
  std::vector<int64_t> word_counts_;
  std::vector<uint32_t> lengths_;  // in bytes, by token

  std::vector<PairUse> table_;  // a hash table: open addressing, size a power of two, at most half in use
  size_t pairs_ = 0;
  std::vector<Candidate> heap_;                      // one per pair not taken; counts may have fallen since
  std::vector<std::unique_ptr<uint32_t[]>> blocks_;  // of positions
  uint32_t* free_ = nullptr;                         // in the last block
  uint32_t free_size_ = 0;

  // For the current merge.
  std::vector<Tally> neighbours_;  // 2 * token + (0 before the pair, 1 after it)
  std::vector<uint32_t> touched_;  // the entries of neighbours_ in use
  std::vector<Found> found_;
  Tally junction_;  // of the pair that forms where two occurrences are adjacent
  std::vector<uint32_t> junctions_;
};

}  // namespace gptmoe
