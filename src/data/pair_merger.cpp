#include "data/pair_merger.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace gptmoe {
namespace {

constexpr int32_t kBoundary = -1, kInside = -2;     // cells
constexpr int32_t kUnmerged = -1, kForbidden = -2;  // ranks
constexpr int32_t kNoToken = -1;                    // the left of a free place in the table
constexpr int64_t kAgain = std::numeric_limits<int64_t>::max();
constexpr size_t kBlock = size_t{1} << 18;

size_t hash_of(TokenPair pair) {
  const auto key = static_cast<uint64_t>(static_cast<uint32_t>(pair.left)) << 32 | static_cast<uint32_t>(pair.right);
  return static_cast<size_t>((key * 0x9E3779B97F4A7C15ull) >> 20);
}

}  // namespace

PairMerger::PairMerger(const WordCounts& words, const std::array<int32_t, 256>& byte_ids) {
  lengths_.assign(256, 1);
  neighbours_.resize(2 * 256);
  lay_out(words, byte_ids);
  index_pairs();
}

void PairMerger::lay_out(const WordCounts& words, const std::array<int32_t, 256>& byte_ids) {
  const int64_t cells = words.letters() + words.words() + 1;
  GPTMOE_CHECK(cells < std::numeric_limits<uint32_t>::max());
  cells_.reserve(static_cast<size_t>(cells));
  cells_.push_back({kBoundary, 0});
  words.for_each([&](std::string_view word, int64_t count) {
    if (word.size() == 1) return;
    const auto index = static_cast<uint32_t>(word_counts_.size());
    word_counts_.push_back(count);
    for (unsigned char byte : word) cells_.push_back({byte_ids[byte], index});
    cells_.push_back({kBoundary, index});
  });
}

void PairMerger::index_pairs() {
  std::vector<Neighbour> pairs(256 * 256);  // by left and right
  const auto visit = [&](auto&& use) {
    for (size_t i = 0; i + 1 < cells_.size(); ++i) {
      const int32_t left = cells_[i].token, right = cells_[i + 1].token;
      if (left >= 0 && right >= 0) use(pairs[static_cast<size_t>(256 * left + right)], i);
    }
  };
  visit([&](Neighbour& pair, size_t at) {
    pair.count += word_counts_[cells_[at].word];
    ++pair.size;
  });
  for (int32_t left = 0; left < 256; ++left)
    for (int32_t right = 0; right < 256; ++right) {
      Neighbour& pair = pairs[static_cast<size_t>(256 * left + right)];
      if (pair.size > 0) pair.positions = add(use_of({left, right}), pair.count, pair.size);
    }
  visit([](Neighbour& pair, size_t at) { *pair.positions++ = static_cast<uint32_t>(at); });
}

int64_t PairMerger::priority_of(const PairUse& use) {
  if (use.count <= 0 || use.rank == kForbidden) return 0;
  return use.rank == kUnmerged ? use.count : kAgain - use.rank;
}

std::optional<PairMerger::Best> PairMerger::best() {
  while (!heap_.empty()) {
    const Candidate top = heap_.front();
    const PairUse& use = use_of(top.pair);
    const int64_t priority = priority_of(use);
    if (priority == top.priority) return Best{use.pair, use.count, use.rank != kUnmerged};
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
    if (priority < top.priority) push(use);
  }
  return std::nullopt;
}

void PairMerger::push(const PairUse& use) {
  const int64_t priority = priority_of(use);
  if (priority < 2) return;
  heap_.push_back({priority, use.pair});
  std::push_heap(heap_.begin(), heap_.end());
}

void PairMerger::forbid(TokenPair pair) { use_of(pair).rank = kForbidden; }

void PairMerger::merge(TokenPair pair, int32_t result) {
  const size_t tokens = std::max(lengths_.size(), static_cast<size_t>(result) + 1);
  lengths_.resize(tokens);
  lengths_[static_cast<size_t>(result)] =
      lengths_[static_cast<size_t>(pair.left)] + lengths_[static_cast<size_t>(pair.right)];
  neighbours_.resize(2 * tokens);

  PairUse& use = use_of(pair);
  // Overlapping occurrences merge from the left; a list that has grown may be out of order.
  if (pair.left == pair.right) std::sort(use.positions, use.positions + use.size);
  rewrite(use, result);
  if (use.rank == kUnmerged) use.rank = merges_++;
  use.size = 0;
  count_new_pairs(pair, result);
  use_of(pair).count = 0;
}

void PairMerger::rewrite(const PairUse& use, int32_t result) {
  const auto [left, right] = use.pair;
  const uint32_t left_length = lengths_[static_cast<size_t>(left)];
  const uint32_t length = lengths_[static_cast<size_t>(result)];
  uint32_t previous = 0, previous_end = 0;  // the occurrence merged last
  for (uint32_t i = 0; i < use.size; ++i) {
    const uint32_t begin = use.positions[i], middle = begin + left_length, end = begin + length;
    if (cells_[begin].token != left || cells_[middle].token != right) continue;
    const int32_t before = cells_[begin - 1].token, after = cells_[end].token;
    cells_[middle - 1].token = cells_[middle].token = kInside;
    cells_[begin].token = cells_[end - 1].token = result;

    const int64_t count = word_counts_[cells_[begin].word];
    if (begin == previous_end) {
      // Noted there as a `left` behind the result: result, left, right have become result, result.
      neighbours_[static_cast<size_t>(2 * left + 1)].count -= count;
      junction_count_ += count;
      junctions_.push_back(previous);
    } else if (before >= 0) {
      note(before, false, count, begin - lengths_[static_cast<size_t>(before)]);
    }
    if (after >= 0) note(after, true, count, begin);
    previous = begin;
    previous_end = end;
  }
}

void PairMerger::note(int32_t token, bool after, int64_t count, uint32_t position) {
  const auto index = static_cast<uint32_t>(2 * token + (after ? 1 : 0));
  Neighbour& neighbour = neighbours_[index];
  if (neighbour.size++ == 0) touched_.push_back(index);
  neighbour.count += count;
  found_.push_back({index, position});
}

void PairMerger::count_new_pairs(TokenPair pair, int32_t result) {
  for (uint32_t index : touched_) {
    Neighbour& neighbour = neighbours_[index];
    if (neighbour.count == 0) continue;
    const auto token = static_cast<int32_t>(index / 2);
    const bool after = index % 2 == 1;
    use_of(after ? TokenPair{pair.right, token} : TokenPair{token, pair.left}).count -= neighbour.count;
    neighbour.positions = add(use_of(after ? TokenPair{result, token} : TokenPair{token, result}), neighbour.count,
                              neighbour.size);
  }
  for (const Found& found : found_)
    if (uint32_t*& to = neighbours_[found.neighbour].positions) *to++ = found.position;
  if (!junctions_.empty()) {
    use_of({pair.right, pair.left}).count -= junction_count_;
    uint32_t* to = add(use_of({result, result}), junction_count_, static_cast<uint32_t>(junctions_.size()));
    std::copy(junctions_.begin(), junctions_.end(), to);
  }
  for (uint32_t index : touched_) neighbours_[index] = {};
  touched_.clear();
  found_.clear();
  junctions_.clear();
  junction_count_ = 0;
}

PairMerger::PairUse& PairMerger::use_of(TokenPair pair) {
  if (2 * (pairs_ + 1) > table_.size()) grow_table();
  const size_t mask = table_.size() - 1;
  size_t at = hash_of(pair) & mask;
  for (; table_[at].pair.left != kNoToken; at = (at + 1) & mask)
    if (table_[at].pair == pair) return table_[at];
  ++pairs_;
  return table_[at] = {pair, 0, nullptr, 0, kUnmerged};
}

void PairMerger::grow_table() {
  std::vector<PairUse> old(std::max<size_t>(2 * table_.size(), 1 << 16), {{kNoToken, 0}, 0, nullptr, 0, kUnmerged});
  old.swap(table_);
  const size_t mask = table_.size() - 1;
  for (const PairUse& use : old) {
    if (use.pair.left == kNoToken) continue;
    size_t at = hash_of(use.pair) & mask;
    while (table_[at].pair.left != kNoToken) at = (at + 1) & mask;
    table_[at] = use;
  }
}

uint32_t* PairMerger::add(PairUse& use, int64_t count, uint32_t size) {
  uint32_t* positions = allocate(use.size + size);
  std::copy(use.positions, use.positions + use.size, positions);
  uint32_t* fresh = positions + use.size;
  use.positions = positions;
  use.size += size;
  use.count += count;
  push(use);
  return fresh;
}

uint32_t* PairMerger::allocate(size_t size) {
  if (size > free_size_) {
    free_size_ = std::max(size, kBlock);
    blocks_.push_back(std::make_unique_for_overwrite<uint32_t[]>(free_size_));
    free_ = blocks_.back().get();
  }
  free_size_ -= size;
  return std::exchange(free_, free_ + size);
}

}  // namespace gptmoe
