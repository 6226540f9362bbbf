#include "data/bpe.h"

#include <functional>
#include <queue>

namespace gptmoe {
namespace {

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// A merge that was possible when it was queued: lowest rank first, then leftmost.
struct Candidate {
  int32_t rank;
  int64_t at;
  auto operator<=>(const Candidate&) const = default;
};

constexpr int32_t kGone = -1;

}  // namespace

MergeTable::MergeTable(const std::vector<Merge>& merges) {
  rules_.reserve(merges.size());
  for (const Merge& merge : merges) {
    const auto rank = static_cast<int32_t>(&merge - merges.data());
    rules_.insert_or_assign(pair_key(merge.left, merge.right), Rule{rank, merge.result});
  }
}

const MergeTable::Rule* MergeTable::find(int32_t left, int32_t right) const {
  const auto rule = rules_.find(pair_key(left, right));
  return rule == rules_.end() ? nullptr : &rule->second;
}

void MergeTable::merge_word(std::vector<int32_t>& symbols) const {
  const auto n = std::ssize(symbols);
  std::vector<int64_t> next(symbols.size()), previous(symbols.size());
  for (int64_t i = 0; i < n; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto rule_at = [&](int64_t at) {
    return symbols[at] == kGone || next[at] == n ? nullptr : find(symbols[at], symbols[next[at]]);
  };
  const auto offer = [&](int64_t at) {
    if (const Rule* rule = rule_at(at)) queue.push({rule->rank, at});
  };
  for (int64_t i = 0; i < n; ++i) offer(i);
  while (!queue.empty()) {
    const Candidate candidate = queue.top();
    queue.pop();
    const Rule* rule = rule_at(candidate.at);
    if (!rule || rule->rank != candidate.rank) continue;  // a neighbour has changed since
    const int64_t left = candidate.at, right = next[left];
    symbols[left] = rule->result;
    symbols[right] = kGone;
    next[left] = next[right];
    if (next[left] < n) previous[next[left]] = left;
    offer(left);
    if (previous[left] >= 0) offer(previous[left]);
  }
  std::erase(symbols, kGone);
}

}  // namespace gptmoe
