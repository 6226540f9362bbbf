#include "tokenizer/word_counts.h"

#include <map>
#include <random>

#include "support/error_line.h"

namespace gptmoe {
namespace {

using Listed = std::vector<std::pair<std::string, int64_t>>;

Listed listed(const WordCounts& counts) {
  Listed words;
  counts.for_each([&](std::string_view word, int64_t count) { words.emplace_back(word, count); });
  return words;
}

WordCounts counted(std::string_view text) {
  WordCounts counts;
  counts.add(SplitPattern::gpt2, text);
  return counts;
}

// Random words of 1 to 40 letters, mostly short, after spaces and newlines.
std::string random_text(uint32_t seed, int words) {
  std::mt19937 random(seed);
  std::string text;
  for (int i = 0; i < words; ++i) {
    std::string word(1 + random() % (random() % 4 ? 4 : 40), 'a');
    for (char& letter : word) letter = static_cast<char>('a' + random() % 3);
    text += random() % 2 ? " " + word : "\n" + word;
  }
  return text;
}

TEST(WordCountsTest, AgreesWithAMap) {
  const std::string text = random_text(1, 30'000);
  std::map<std::string, int64_t> expected;
  int64_t letters = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = word_end(SplitPattern::gpt2, text, begin);
    if (++expected[text.substr(begin, end - begin)] == 1) letters += static_cast<int64_t>(end - begin);
    begin = end;
  }
  const WordCounts counts = counted(text);
  const Listed words = listed(counts);
  EXPECT_GT(words.size(), 5000u);
  EXPECT_EQ(counts.words(), std::ssize(expected));
  EXPECT_EQ(counts.letters(), letters);
  EXPECT_EQ((std::map<std::string, int64_t>(words.begin(), words.end())), expected);
}

TEST(WordCountsTest, WordsKeepTheOrderOfFirstAppearance) {
  EXPECT_EQ(listed(counted("a extraordinarily-long b-a extraordinarily a")),
            (Listed{{"a", 2}, {" extraordinarily", 2}, {"-", 2}, {"long", 1}, {" b", 1}, {" a", 1}}));
}

// Words of one repeated letter, with lengths around those that the table stores inline. The last one is at the end of
// the text, where fewer than 16 bytes may be read.
TEST(WordCountsTest, CountsWordsAroundTheInlineLengths) {
  std::string text;
  for (int round = 0; round < 2; ++round)
    for (size_t length : {1, 2, 7, 8, 9, 15, 16, 17, 18}) text += std::string(length, 'x') + "\n";
  text += std::string(9, 'x');
  const Listed words = listed(counted(text));
  ASSERT_EQ(words.size(), 10u);
  for (const auto& [word, count] : words) EXPECT_EQ(count, word == "\n" ? 18 : word.size() == 9 ? 3 : 2) << word;
}

TEST(WordCountsTest, ZeroBytesBelongToWords) {
  const std::string text("\0 \0\0 \0\0\0", 8);
  EXPECT_EQ(listed(counted(text)).size(), 3u);
}

TEST(WordCountsTest, MergedTablesEqualOneTableOfAllTexts) {
  const std::string first = random_text(2, 5000), second = random_text(3, 9000);
  WordCounts merged;
  merged.merge(counted(first));
  merged.merge(counted(second));
  merged.merge(WordCounts());
  WordCounts all = counted(first);
  all.add(SplitPattern::gpt2, second);
  EXPECT_EQ(listed(merged), listed(all));
  EXPECT_EQ(merged.letters(), all.letters());
}

TEST(WordCountsTest, TheRarestWordsAreDroppedFirst) {
  const std::string_view text = "aa bb aa cc dd dd cc cc ee";  // "aa", " bb", " aa" and " ee" occur once
  WordCounts counts = counted(text);
  EXPECT_EQ(counts.letters(), 2 + 5 * 3);
  EXPECT_EQ(counts.drop_rarest(17), 0);
  EXPECT_EQ(counts.drop_rarest(9), 4);
  EXPECT_EQ(listed(counts), (Listed{{" cc", 3}, {" dd", 2}}));
  EXPECT_EQ(counts.letters(), 6);
  counts.add(SplitPattern::gpt2, " bb dd");
  EXPECT_EQ(listed(counts), (Listed{{" cc", 3}, {" dd", 3}, {" bb", 1}}));
  EXPECT_EQ(counts.drop_rarest(0), 3);
  EXPECT_EQ(counts.words(), 0);
}

TEST(WordCountsTest, FrequentLongWordsAreNotDropped) {
  const std::string rare(40, 'r'), frequent(50, 'f');
  WordCounts counts = counted(rare + "\n" + frequent + "\n" + frequent);
  EXPECT_EQ(counts.drop_rarest(60), 1);
  EXPECT_EQ(listed(counts), (Listed{{"\n", 2}, {frequent, 2}}));
}

}  // namespace
}  // namespace gptmoe
