#include "tokenizer/word_cache.h"

#include <map>
#include <random>

#include "support/error_line.h"

namespace gptmoe {
namespace {

struct WordCacheTest : testing::Test {
  std::vector<int32_t> find(std::string word) {
    const size_t size = word.size();
    word.resize(size + 16, 'x');  // the bytes after the word must not matter
    std::array<int32_t, WordCache::kMaxBytes> out;
    const auto known = cache.find(WordCache::key_of(std::string_view(word).substr(0, size), word.size()), out.data());
    return {out.begin(), out.begin() + static_cast<std::ptrdiff_t>(known)};
  }
  void insert(const std::string& word, const std::vector<int32_t>& ids) {
    cache.insert(WordCache::key_of(word, word.size()), ids);
  }
  WordCache cache;
};

TEST_F(WordCacheTest, FindsWhatWasInserted) {
  std::map<std::string, std::vector<int32_t>> words;
  for (size_t length = 1; length <= WordCache::kMaxBytes; ++length)
    for (size_t count : {size_t{1}, size_t{3}, size_t{4}, length})
      words[std::string(length - 1, 'a') + static_cast<char>('0' + count % 60)] =
          std::vector<int32_t>(std::min(count, length), static_cast<int32_t>(1000 * length + count));
  for (const auto& [word, ids] : words) insert(word, ids);
  for (const auto& [word, ids] : words) EXPECT_EQ(find(word), ids) << word;
}

TEST_F(WordCacheTest, WordsThatDifferInZerosOrLengthDiffer) {
  insert(std::string("a\0", 2), {1});
  insert("a", {2});
  insert(std::string("a\0\0", 3), {3});
  EXPECT_EQ(find("a"), std::vector<int32_t>{2});
  EXPECT_EQ(find(std::string("a\0", 2)), std::vector<int32_t>{1});
  EXPECT_EQ(find(std::string("a\0\0", 3)), std::vector<int32_t>{3});
  EXPECT_EQ(find(std::string("a\0\0\0", 4)), std::vector<int32_t>{});
}

TEST_F(WordCacheTest, TooLongWordsAreNotKept) {
  const std::string word(WordCache::kMaxBytes + 1, 'a');
  insert(word, {1});
  EXPECT_EQ(find(word), std::vector<int32_t>{});
}

// With far more words than entries, a hit is always right and the latest word is always found.
TEST_F(WordCacheTest, AFullCacheForgetsButNeverLies) {
  std::mt19937 random(3);
  int found = 0;
  for (int32_t i = 0; i < 700'000; ++i) {
    const std::string word = std::string(i % 9 == 0 ? 20 : 1, 'w') + std::to_string(i);
    insert(word, std::vector<int32_t>(1 + i % 5, i));
    ASSERT_EQ(find(word), std::vector<int32_t>(1 + i % 5, i));
    const auto earlier = static_cast<int32_t>(random() % static_cast<uint32_t>(i + 1));
    const auto ids = find(std::string(earlier % 9 == 0 ? 20 : 1, 'w') + std::to_string(earlier));
    if (ids.empty()) continue;
    ++found;
    ASSERT_EQ(ids, std::vector<int32_t>(1 + earlier % 5, earlier));
  }
  EXPECT_GT(found, 300'000);
}

}  // namespace
}  // namespace gptmoe
