#include "tokenizer/pair_merger.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace gptmoe {
namespace {

constexpr int32_t kBoundary = -1, kInside = -2;  // of cells, in place of a token
constexpr int32_t kNoToken = -1;                 // `left` in a free slot of the table
constexpr uint32_t kAhead = 16;                  // occurrences whose cells are prefetched
constexpr uint32_t kBlock = 1u << 18;            // positions in a block

size_t hash_of(PairMerger::Pair pair) {
  const auto key = static_cast<uint64_t>(static_cast<uint32_t>(pair.left)) << 32 | static_cast<uint32_t>(pair.right);
  return static_cast<size_t>((key * 0x9E3779B97F4A7C15ull) >> 20);
}

}  // namespace

PairMerger::PairMerger(const WordCounts& words, const std::array<int32_t, 256>& byte_ids)
    : lengths_(256, 1), neighbours_(2 * 256) {
  lay_out(words, byte_ids);
  index_pairs();
}

void PairMerger::lay_out(const WordCounts& words, const std::array<int32_t, 256>& byte_ids) {
  const int64_t cells = words.letters() + words.words() + 1;
  GPTMOE_CHECK(cells <= std::numeric_limits<uint32_t>::max());
  cells_.reserve(static_cast<size_t>(cells));
  word_counts_.reserve(static_cast<size_t>(words.words()));
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
  std::vector<Tally> tallies(256 * 256);  // by left and right
  const auto visit = [&](auto&& use) {
    for (size_t at = 0; at + 1 < cells_.size(); ++at) {
      const int32_t left = cells_[at].token, right = cells_[at + 1].token;
      if (left >= 0 && right >= 0) use(tallies[static_cast<size_t>(256 * left + right)], at);
    }
  };
  visit([&](Tally& tally, size_t at) {
    tally.count += word_counts_[cells_[at].word];
    ++tally.size;
  });
  for (int32_t left = 0; left < 256; ++left)
    for (int32_t right = 0; right < 256; ++right)
      add_pair({left, right}, tallies[static_cast<size_t>(256 * left + right)]);
  visit([](Tally& tally, size_t at) { *tally.positions++ = static_cast<uint32_t>(at); });
}

std::optional<PairMerger::Pair> PairMerger::take_best() {
  while (!heap_.empty()) {
    const Candidate top = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
    const int64_t count = find(top.pair).count;
    if (count == top.count) return top.pair;
    push({count, top.pair});
  }
  return std::nullopt;
}

void PairMerger::merge(Pair pair, int32_t result) {
  GPTMOE_CHECK(static_cast<size_t>(result) == lengths_.size());
  lengths_.push_back(lengths_[static_cast<size_t>(pair.left)] + lengths_[static_cast<size_t>(pair.right)]);
  neighbours_.resize(2 * lengths_.size());
  rewrite(find(pair), result);
  count_new_pairs(pair, result);
}

void PairMerger::rewrite(const PairUse& use, int32_t result) {
  const auto [left, right] = use.pair;
  const uint32_t left_length = lengths_[static_cast<size_t>(left)];
  const uint32_t length = lengths_[static_cast<size_t>(result)];
  uint32_t previous = 0, previous_end = 0;  // the occurrence merged last
  for (uint32_t i = 0; i < use.size; ++i) {
    if (i + kAhead < use.size) __builtin_prefetch(&cells_[use.positions[i + kAhead]], 1);
    const uint32_t begin = use.positions[i], middle = begin + left_length, end = begin + length;
    if (cells_[begin].token != left || cells_[middle].token != right) continue;
    const int32_t before = cells_[begin - 1].token, after = cells_[end].token;
    cells_[middle - 1].token = cells_[middle].token = kInside;
    cells_[begin].token = cells_[end - 1].token = result;

    const int64_t count = word_counts_[cells_[begin].word];
    if (begin == previous_end) {
      // The previous occurrence has noted this occurrence's `left` as the token after it, but that token no longer
      // exists.
      neighbours_[static_cast<size_t>(2 * left + 1)].count -= count;
      junction_.count += count;
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
  Tally& tally = neighbours_[index];
  if (tally.size++ == 0) touched_.push_back(index);
  tally.count += count;
  found_.push_back({index, position});
}

void PairMerger::count_new_pairs(Pair pair, int32_t result) {
  for (uint32_t index : touched_) {
    Tally& tally = neighbours_[index];
    const auto token = static_cast<int32_t>(index / 2);
    const bool after = index % 2 == 1;
    find(after ? Pair{pair.right, token} : Pair{token, pair.left}).count -= tally.count;
    add_pair(after ? Pair{result, token} : Pair{token, result}, tally);
  }
  for (const Found& found : found_)
    if (uint32_t*& to = neighbours_[found.tally].positions) *to++ = found.position;
  for (uint32_t index : touched_) neighbours_[index] = {};
  touched_.clear();
  found_.clear();

  if (junctions_.empty()) return;
  junction_.size = static_cast<uint32_t>(junctions_.size());
  find({pair.right, pair.left}).count -= junction_.count;
  add_pair({result, result}, junction_);
  std::copy(junctions_.begin(), junctions_.end(), junction_.positions);
  junction_ = {};
  junctions_.clear();
}

void PairMerger::add_pair(Pair pair, Tally& tally) {
  if (tally.count == 0) return;
  tally.positions = allocate(tally.size);
  if (2 * ++pairs_ > table_.size()) grow_table();
  table_[free_place(pair)] = {pair, tally.count, tally.positions, tally.size};
  push({tally.count, pair});
}

PairMerger::PairUse& PairMerger::find(Pair pair) {
  const size_t mask = table_.size() - 1;
  size_t at = hash_of(pair) & mask;
  while (table_[at].pair != pair) {
    GPTMOE_CHECK(table_[at].pair.left != kNoToken, "a pair without a count");
    at = (at + 1) & mask;
  }
  return table_[at];
}

size_t PairMerger::free_place(Pair pair) const {
  const size_t mask = table_.size() - 1;
  size_t at = hash_of(pair) & mask;
  while (table_[at].pair.left != kNoToken) at = (at + 1) & mask;
  return at;
}

void PairMerger::grow_table() {
  std::vector<PairUse> old(std::max<size_t>(2 * table_.size(), 1 << 16), {{kNoToken, 0}, 0, nullptr, 0});
  old.swap(table_);
  for (const PairUse& use : old)
    if (use.pair.left != kNoToken) table_[free_place(use.pair)] = use;
}

void PairMerger::push(Candidate candidate) {
  if (candidate.count < 2) return;
  heap_.push_back(candidate);
  std::push_heap(heap_.begin(), heap_.end());
}

uint32_t* PairMerger::allocate(uint32_t size) {
  if (size > free_size_) {
    free_size_ = std::max(size, kBlock);
    blocks_.push_back(std::make_unique_for_overwrite<uint32_t[]>(free_size_));
    free_ = blocks_.back().get();
  }
  free_size_ -= size;
  return std::exchange(free_, free_ + size);
}

}  // namespace gptmoe
