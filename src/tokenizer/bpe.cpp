#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <climits>
#include <cstring>
#include <utility>

namespace gptmoe {
namespace {

constexpr int32_t kNever = INT_MAX;  // the rank in an empty slot of the table
constexpr size_t kChunk = 128;       // bytes merged at once; the time grows with their square
constexpr size_t kRedo = 2;          // tokens at a chunk's end that are merged again with the next chunk

uint64_t hash_pair(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right)) *
         0x9E3779B97F4A7C15ull;
}

}  // namespace

MergeTable::MergeTable(const std::vector<Merge>& merges, const std::array<int32_t, 256>& byte_ids,
                       std::vector<int32_t> token_bytes)
    : byte_ids_(byte_ids), token_bytes_(std::move(token_bytes)) {
  const size_t slots = std::bit_ceil(std::max<size_t>(merges.size() * 2, 16));
  shift_ = 64 - std::countr_zero(slots);
  slots_.assign(slots, Rule{0, 0, kNever, 0});
  for (const Merge& merge : merges)
    const_cast<Rule&>(find(merge.left, merge.right)) = {merge.left, merge.right, merge.rank, merge.result};
}

// The slot with the pair's rule, or an empty slot if the pair has none.
const MergeTable::Rule& MergeTable::find(int32_t left, int32_t right) const {
  size_t at = hash_pair(left, right) >> shift_;
  while (slots_[at].rank != kNever && !(slots_[at].left == left && slots_[at].right == right))
    at = (at + 1) & (slots_.size() - 1);
  return slots_[at];
}

void MergeTable::encode_word(std::string_view word, std::vector<int32_t>& ids) const {
  if (word.size() <= kChunk) return encode_short(word, ids);
  encode_long(word, ids);
}

// Finds the lowest rank by linear search, which is faster than a queue on words, and vectorises.
void MergeTable::encode_short(std::string_view word, std::vector<int32_t>& ids) const {
  const size_t first = ids.size();
  size_t n = word.size();
  ids.resize(first + n);
  int32_t* symbols = ids.data() + first;
  for (size_t i = 0; i < n; ++i) symbols[i] = byte_ids_[static_cast<unsigned char>(word[i])];

  std::array<int32_t, kChunk> on_stack;
  std::vector<int32_t> on_heap(n > kChunk ? n : 0);
  int32_t* ranks = n > kChunk ? on_heap.data() : on_stack.data();  // of the pairs (i, i + 1)
  for (size_t i = 0; i + 1 < n; ++i) ranks[i] = find(symbols[i], symbols[i + 1]).rank;
  while (n > 1) {
    int32_t lowest = kNever;
    for (size_t i = 0; i + 1 < n; ++i) lowest = std::min(lowest, ranks[i]);
    if (lowest == kNever) break;
    size_t at = 0;
    while (ranks[at] != lowest) ++at;
    symbols[at] = find(symbols[at], symbols[at + 1]).result;
    const size_t tail = n - at - 2;  // symbols after the pair
    std::memmove(symbols + at + 1, symbols + at + 2, tail * sizeof *symbols);
    if (tail > 0) std::memmove(ranks + at + 1, ranks + at + 2, (tail - 1) * sizeof *ranks);
    --n;
    if (at > 0) ranks[at - 1] = find(symbols[at - 1], symbols[at]).rank;
    if (at + 1 < n) ranks[at] = find(symbols[at], symbols[at + 1]).rank;
  }
  ids.resize(first + n);
}

// Whether merging `both`, the joined text of the tokens `left` and `right`, gives exactly these two tokens.
bool MergeTable::stand_together(std::string_view both, int32_t left, int32_t right) const {
  std::vector<int32_t> merged;
  encode_short(both, merged);
  return merged.size() == 2 && merged[0] == left && merged[1] == right;
}

// Merges a long word in chunks. This is exact: a sequence of tokens is the encoding of a word if each pair of
// neighbouring tokens is the encoding of its own bytes. (The first merge across a boundary would also happen if the two
// neighbours were alone.) The last few tokens of a chunk (`redo`) may depend on the text after it; they are dropped,
// and the next chunk starts where they started. The tokens before this seam and those of the next chunk are joined if
// the two tokens at the seam are the encoding of their own bytes. If they are not, the seam moves back and the chunk
// grows, at most to the whole word.
void MergeTable::encode_long(std::string_view word, std::vector<int32_t>& ids) const {
  const size_t first = ids.size();
  size_t length = kChunk, redo = kRedo;
  const auto token_bytes = [&](int32_t id) { return static_cast<size_t>(token_bytes_[static_cast<size_t>(id)]); };
  for (size_t from = 0; from < word.size();) {
    const size_t seam = ids.size(), n = std::min(length, word.size() - from);
    encode_short(word.substr(from, n), ids);
    const bool last = from + n == word.size();
    size_t tokens = ids.size() - seam;
    if (seam > first) {
      const size_t left = token_bytes(ids[seam - 1]), right = token_bytes(ids[seam]);
      if (!stand_together(word.substr(from - left, left + right), ids[seam - 1], ids[seam])) {
        const size_t back = std::min(redo, seam - first);
        for (size_t i = 1; i <= back; ++i) from -= token_bytes(ids[seam - i]);
        ids.resize(seam - back);
        length *= 2;
        redo *= 2;
        continue;
      }
    }
    if (last) return;
    if (tokens <= redo) {  // all of them may depend on the text after the chunk
      ids.resize(seam);
      length *= 2;
      continue;
    }
    from += n;
    for (size_t i = 1; i <= redo; ++i) from -= token_bytes(ids[ids.size() - i]);
    ids.resize(ids.size() - redo);
    length = kChunk;
    redo = kRedo;
  }
}

}  // namespace gptmoe
