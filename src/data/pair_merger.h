#pragma once
// The words of a corpus as tokens, while the most frequent adjacent pair is merged again and again.
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "data/word_counts.h"

namespace gptmoe {

struct TokenPair {
  int32_t left, right;
  auto operator<=>(const TokenPair&) const = default;
};

// Every merge costs what its occurrences cost: a pair knows where in the text of distinct words it stands.
class PairMerger {
 public:
  // byte_ids: the token of every single byte. Words hold fewer than 2^32 bytes, one more for each word included.
  PairMerger(const WordCounts& words, const std::array<int32_t, 256>& byte_ids);

  struct Best {
    TokenPair pair;
    int64_t count;
    bool again;  // merged before: tokens that another pair spelt have brought it about once more
  };
  // A pair merged before that has come about again, the first merged of several; else the most frequent pair, of equals
  // the one of the lower left, then the lower right id. Nothing when no pair is left that occurs twice.
  std::optional<Best> best();
  // `pair` becomes `result` wherever it stands, from left to right in every word.
  void merge(TokenPair pair, int32_t result);
  // `pair` is never to be the best again.
  void forbid(TokenPair pair);

 private:
  // One byte of a word. A token's first and last bytes carry its id, those between kInside.
  struct Cell {
    int32_t token;
    uint32_t word;
  };
  struct PairUse {
    TokenPair pair;
    int64_t count;        // of its occurrences in all words, each as often as the word
    uint32_t* positions;  // where `left` begins; some may have gone since
    uint32_t size;
    int32_t rank;  // the how manieth merge it was; kUnmerged, kForbidden
  };
  struct Candidate {
    int64_t priority;
    TokenPair pair;
    // The greatest in the heap is the next to merge.
    bool operator<(const Candidate& other) const {
      return priority != other.priority ? priority < other.priority : pair > other.pair;
    }
  };
  // A neighbour of the pair being merged, on one side: how often it is there, and where the new pair begins.
  struct Neighbour {
    int64_t count = 0;
    uint32_t size = 0;
    uint32_t* positions = nullptr;
  };
  struct Found {
    uint32_t neighbour;  // index in neighbours_
    uint32_t position;
  };

  void lay_out(const WordCounts& words, const std::array<int32_t, 256>& byte_ids);
  void index_pairs();
  void rewrite(const PairUse& use, int32_t result);
  void note(int32_t token, bool after, int64_t count, uint32_t position);
  void count_new_pairs(TokenPair pair, int32_t result);

  PairUse& use_of(TokenPair pair);
  void grow_table();
  // The pair occurs `count` times more, at `size` positions, to be written where the result points.
  uint32_t* add(PairUse& use, int64_t count, uint32_t size);
  uint32_t* allocate(size_t size);
  static int64_t priority_of(const PairUse& use);
  void push(const PairUse& use);

  std::vector<Cell> cells_;  // words with one kBoundary before, between and behind them
  std::vector<int64_t> word_counts_;
  std::vector<uint32_t> lengths_;  // in bytes, by token

  std::vector<PairUse> table_;  // open addressing by pair, a power of two, at most half in use
  size_t pairs_ = 0;
  std::vector<Candidate> heap_;  // every pair has an entry whose priority is no lower than its own
  std::vector<std::unique_ptr<uint32_t[]>> blocks_;  // of positions
  uint32_t* free_ = nullptr;
  size_t free_size_ = 0;
  int32_t merges_ = 0;

  // Of the merge under way.
  std::vector<Neighbour> neighbours_;  // 2 * token + (0 before the pair, 1 after it)
  std::vector<uint32_t> touched_;
  std::vector<Found> found_;
  std::vector<uint32_t> junctions_;
  int64_t junction_count_ = 0;
};

}  // namespace gptmoe
