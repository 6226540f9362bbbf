#include "tokenizer/bpe.h"

#include <random>
#include <set>

#include "support/error_line.h"

namespace gptmoe {
namespace {

constexpr int kLetters = 3;  // bytes 'a', 'b', 'c' are the tokens 0, 1, 2

std::array<int32_t, 256> letter_ids() {
  std::array<int32_t, 256> ids{};
  for (int letter = 0; letter < kLetters; ++letter) ids[static_cast<size_t>('a' + letter)] = letter;
  return ids;
}

// Random merges: each joins two earlier tokens, so tokens get longer. Ranks are in order, or shuffled.
std::vector<Merge> random_merges(std::mt19937& random, int count, bool shuffled) {
  std::vector<Merge> merges;
  std::set<std::pair<int32_t, int32_t>> used;
  for (int32_t result = kLetters; std::ssize(merges) < count; ++result) {
    const auto left = static_cast<int32_t>(random() % static_cast<uint32_t>(result));
    const auto right = static_cast<int32_t>(random() % static_cast<uint32_t>(result));
    if (!used.emplace(left, right).second) {
      --result;
      continue;
    }
    merges.push_back({left, right, result, static_cast<int32_t>(merges.size())});
  }
  if (!shuffled) return merges;
  std::shuffle(merges.begin(), merges.end(), random);
  for (size_t rank = 0; rank < merges.size(); ++rank) merges[rank].rank = static_cast<int32_t>(rank);
  return merges;
}

std::vector<int32_t> lengths(const std::vector<Merge>& merges) {
  std::vector<int32_t> bytes(kLetters + merges.size(), 1);
  auto by_result = merges;
  std::sort(by_result.begin(), by_result.end(), [](const Merge& a, const Merge& b) { return a.result < b.result; });
  for (const Merge& merge : by_result)
    bytes[static_cast<size_t>(merge.result)] =
        bytes[static_cast<size_t>(merge.left)] + bytes[static_cast<size_t>(merge.right)];
  return bytes;
}

// BPE by its definition: finds the pair of lowest rank, merges its leftmost occurrence, and repeats.
std::vector<int32_t> merge_plainly(std::vector<Merge> merges, std::string_view word) {
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
  std::vector<int32_t> symbols;
  for (char byte : word) symbols.push_back(byte - 'a');
  const auto lowest = [&]() -> std::pair<const Merge*, size_t> {
    std::pair<const Merge*, size_t> best{nullptr, 0};
    for (const Merge& merge : merges) {
      if (best.first && merge.rank > best.first->rank) break;
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        if (symbols[i] != merge.left || symbols[i + 1] != merge.right) continue;
        if (!best.first || i < best.second) best = {&merge, i};
        break;
      }
    }
    return best;
  };
  while (true) {
    const auto [merge, at] = lowest();
    if (!merge) return symbols;
    symbols[at] = merge->result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

std::vector<int32_t> encode(const std::vector<Merge>& merges, std::string_view word) {
  std::vector<int32_t> ids = {-7};  // existing ids must stay
  MergeTable(merges, letter_ids(), lengths(merges)).encode_word(word, ids);
  EXPECT_EQ(ids.at(0), -7);
  ids.erase(ids.begin());
  return ids;
}

std::string random_word(std::mt19937& random, size_t length, int letters = kLetters) {
  std::string word;
  while (word.size() < length) word += static_cast<char>('a' + random() % static_cast<uint32_t>(letters));
  return word;
}

TEST(MergeTableTest, ShortWordsAgreeWithThePlainDefinition) {
  std::mt19937 random(11);
  for (int round = 0; round < 600; ++round) {
    const auto merges = random_merges(random, 9, round % 2 == 1);
    const std::string word = random_word(random, 1 + random() % 60);
    ASSERT_EQ(encode(merges, word), merge_plainly(merges, word)) << "round " << round << " " << word;
  }
}

// Long words are encoded in chunks that join at seams. With long tokens, runs and periodic words, a seam must often
// move.
TEST(MergeTableTest, LongWordsAgreeWithThePlainDefinition) {
  std::mt19937 random(12);
  for (int round = 0; round < 300; ++round) {
    const auto merges = random_merges(random, 4 + static_cast<int>(random() % 40), round % 2 == 1);
    std::string word;
    if (round % 3 == 0) {
      const std::string period = random_word(random, 1 + random() % 5);
      while (word.size() < 700) word += period;
    }
    word += random_word(random, 300 + random() % 400, 1 + round % kLetters);
    ASSERT_EQ(encode(merges, word), merge_plainly(merges, word)) << "round " << round;
  }
}

// Here the last byte decides how all other bytes pair, so the seam must move back to the beginning of the word.
TEST(MergeTableTest, AChangeAtTheEndCanReachTheBeginning) {
  constexpr int32_t kA = 0, kB = 1;
  for (const size_t length : {200u, 201u, 600u, 601u}) {
    std::vector<Merge> merges;
    std::vector<int32_t> bytes = {1, 1, 1};
    // "ab", "aab", "aaab", ...: one token grows from the final b towards the beginning.
    int32_t suffix = kB;
    for (size_t i = 0; i < length; ++i) {
      const auto result = static_cast<int32_t>(bytes.size());
      bytes.push_back(bytes[static_cast<size_t>(suffix)] + 1);
      merges.push_back({kA, suffix, result, static_cast<int32_t>(i)});
      suffix = result;
    }
    std::vector<int32_t> ids;
    MergeTable(merges, letter_ids(), bytes).encode_word(std::string(length, 'a') + "b", ids);
    EXPECT_EQ(ids, std::vector<int32_t>{suffix});
    EXPECT_EQ(merge_plainly(merges, std::string(length, 'a') + "b"), ids);
  }
}

// In tiktoken a merge has the rank of its result, so two pairs may share a rank.
TEST(MergeTableTest, EqualRanksMergeFromTheLeft) {
  // 3 = ab, 4 = ba, and 5 = aba by both splits, with the same rank.
  const std::vector<Merge> merges = {{0, 1, 3, 1}, {1, 0, 4, 0}, {3, 0, 5, 2}, {0, 4, 5, 2}};
  std::mt19937 random(13);
  for (int round = 0; round < 300; ++round) {
    const std::string word = random_word(random, 1 + random() % 300, 2);
    ASSERT_EQ(encode(merges, word), merge_plainly(merges, word)) << word;
  }
}

TEST(MergeTableTest, WithoutMergesEveryByteIsAToken) { EXPECT_EQ(encode({}, "abc"), (std::vector<int32_t>{0, 1, 2})); }

}  // namespace
}  // namespace gptmoe
