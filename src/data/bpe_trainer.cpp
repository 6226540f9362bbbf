#include "data/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <queue>

#include "base/check.h"
#include "data/byte_alphabet.h"
#include "data/pretokenize.h"

namespace gptmoe {
namespace {

struct Pair {
  int32_t left, right;
  auto operator<=>(const Pair&) const = default;
};

struct PairHash {
  size_t operator()(const Pair& pair) const {
    const auto key = static_cast<uint64_t>(static_cast<uint32_t>(pair.left)) << 32 | static_cast<uint32_t>(pair.right);
    return static_cast<size_t>((key ^ key >> 29) * 0x9E3779B97F4A7C15ull);
  }
};

struct Word {
  std::vector<int32_t> symbols;
  int64_t count;
};

struct PairUse {
  int64_t count = 0;
  std::vector<int32_t> words;  // every word that holds the pair; some may have lost it since
};

struct Candidate {
  int64_t count;
  Pair pair;
  // The greatest in the heap is the next to merge.
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

// The words as they stand after the merges so far, with the count of every adjacent pair kept up to date.
// Heap entries are not: each pair has at least one entry whose count is no lower than the pair's.
class MergeState {
 public:
  void add_word(std::vector<int32_t> symbols, int64_t count) {
    const auto word = static_cast<int32_t>(words_.size());
    for (size_t i = 0; i + 1 < symbols.size(); ++i) change({symbols[i], symbols[i + 1]}, count, word);
    words_.push_back({std::move(symbols), count});
  }

  void start() {
    for (const auto& [pair, use] : uses_) heap_.push({use.count, pair});
  }

  // The most frequent pair, with its count; count 0 when no pair is left.
  Candidate best() {
    while (!heap_.empty()) {
      const Candidate top = heap_.top();
      const auto use = uses_.find(top.pair);
      const int64_t count = use == uses_.end() ? 0 : use->second.count;
      if (count == top.count && count > 0) return top;
      heap_.pop();
      if (count > 0 && count < top.count) heap_.push({count, top.pair});
    }
    return {0, {}};
  }

  void merge(Pair pair, int32_t result) {
    const std::vector<int32_t> affected = std::move(uses_[pair].words);
    for (int32_t word : affected) merge_in_word(word, pair, result);
    uses_.erase(pair);
    std::sort(grown_.begin(), grown_.end());
    grown_.erase(std::unique(grown_.begin(), grown_.end()), grown_.end());
    for (const Pair& grown : grown_) heap_.push({uses_[grown].count, grown});
    grown_.clear();
  }

 private:
  void change(Pair pair, int64_t by, int32_t word) {
    PairUse& use = uses_[pair];
    use.count += by;
    if (by > 0 && (use.words.empty() || use.words.back() != word)) use.words.push_back(word);
  }

  // Rewrites the word from left to right in place; counts always match `rewritten part + rest`.
  void merge_in_word(int32_t index, Pair pair, int32_t result) {
    Word& word = words_[static_cast<size_t>(index)];
    auto& symbols = word.symbols;
    size_t out = 0;
    for (size_t in = 0; in < symbols.size(); ++in) {
      const bool match = in + 1 < symbols.size() && Pair{symbols[in], symbols[in + 1]} == pair;
      if (!match) {
        symbols[out++] = symbols[in];
        continue;
      }
      change(pair, -word.count, index);
      if (out > 0) replace({symbols[out - 1], pair.left}, {symbols[out - 1], result}, index);
      if (in + 2 < symbols.size()) replace({pair.right, symbols[in + 2]}, {result, symbols[in + 2]}, index);
      symbols[out++] = result;
      ++in;
    }
    symbols.resize(out);
  }

  void replace(Pair old, Pair fresh, int32_t word) {
    const int64_t count = words_[static_cast<size_t>(word)].count;
    change(old, -count, word);
    change(fresh, count, word);
    grown_.push_back(fresh);
  }

  std::vector<Word> words_;
  std::unordered_map<Pair, PairUse, PairHash> uses_;
  std::priority_queue<Candidate> heap_;
  std::vector<Pair> grown_;  // pairs the merge under way has added to
};

}  // namespace

void BpeTrainer::add(std::string_view document) {
  for (size_t begin = 0; begin < document.size();) {
    const size_t end = gpt2_word_end(document, begin);
    const std::string_view word = document.substr(begin, end - begin);
    begin = end;
    const auto known = counts_.find(word);
    if (known != counts_.end()) {
      ++known->second;
    } else {
      counts_.emplace(word, 1);
    }
  }
}

Tokenizer BpeTrainer::train(int64_t vocab_size, const std::vector<std::string>& special_tokens,
                            const std::function<void(int64_t tokens)>& progress) const {
  const int64_t fixed = 256 + std::ssize(special_tokens);
  if (vocab_size < fixed || vocab_size > kMaxVocabSize)
    user_error("a vocabulary of ", vocab_size, " entries cannot be trained; give at least ", fixed, " (256 bytes, ",
               special_tokens.size(), " special) and at most ", kMaxVocabSize);
  Vocabulary vocabulary;
  std::unordered_map<std::string, int32_t> ids;
  std::array<int32_t, 256> byte_ids;
  const auto add_token = [&](std::string bytes) {
    const auto [entry, fresh] = ids.emplace(bytes, static_cast<int32_t>(vocabulary.tokens.size()));
    if (fresh) vocabulary.tokens.push_back(std::move(bytes));
    return entry->second;
  };
  for (uint8_t byte : alphabet_order()) byte_ids[byte] = add_token(std::string(1, static_cast<char>(byte)));

  MergeState state;
  for (const auto& [word, count] : counts_) {
    std::vector<int32_t> symbols;
    for (unsigned char byte : word) symbols.push_back(byte_ids[byte]);
    state.add_word(std::move(symbols), count);
  }
  state.start();
  while (std::ssize(vocabulary.tokens) + std::ssize(special_tokens) < vocab_size) {
    const auto [count, pair] = state.best();
    if (count < 2) break;
    // Two pairs can spell the same token ("a" + "bc", "ab" + "c"); it keeps its first id.
    const int32_t result = add_token(vocabulary.tokens[static_cast<size_t>(pair.left)] +
                                     vocabulary.tokens[static_cast<size_t>(pair.right)]);
    state.merge(pair, result);
    vocabulary.merges.push_back({pair.left, pair.right, result});
    if (progress) progress(std::ssize(vocabulary.tokens));
  }
  for (const std::string& special : special_tokens) {
    GPTMOE_CHECK(!special.empty() && !ids.contains(special), "special token ", special, " is an ordinary one");
    vocabulary.added.push_back({add_token(special), true});
  }
  return Tokenizer(std::move(vocabulary));
}

}  // namespace gptmoe
