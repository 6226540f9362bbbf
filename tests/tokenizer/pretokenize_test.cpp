#include "tokenizer/pretokenize.h"

#include "base/json.h"
#include "support/error_line.h"
#include "support/test_folders.h"
#include "tokenizer/unicode_ranges.h"
#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

using Words = std::vector<std::string>;

Words words(std::string_view text, SplitPattern pattern = SplitPattern::gpt2) {
  Words out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = word_end(pattern, text, begin);
    if (end <= begin || end > text.size()) throw std::logic_error("an empty word, or one past the end");
    out.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

TEST(PretokenizeTest, WordsIncludeOnePrecedingSpace) {
  EXPECT_EQ(words("the river ran"), (Words{"the", " river", " ran"}));
  EXPECT_EQ(words(" the"), (Words{" the"}));
  EXPECT_EQ(words(""), Words{});
}

TEST(PretokenizeTest, LettersDigitsAndOtherCharactersAreSeparateWords) {
  EXPECT_EQ(words("a1b22, (c)"), (Words{"a", "1", "b", "22", ",", " (", "c", ")"}));
  EXPECT_EQ(words("x_y --> 3.14"), (Words{"x", "_", "y", " -->", " 3", ".", "14"}));
}

TEST(PretokenizeTest, ContractionsAreLowerCaseOnly) {
  EXPECT_EQ(words("they're we'll I'd it's I'm I've don't"),
            (Words{"they", "'re", " we", "'ll", " I", "'d", " it", "'s", " I", "'m", " I", "'ve", " don", "'t"}));
  EXPECT_EQ(words("DON'T"), (Words{"DON", "'", "T"}));
  EXPECT_EQ(words(" 's"), (Words{" '", "s"}));
  EXPECT_EQ(words("''s"), (Words{"''", "s"}));
  EXPECT_EQ(words("'"), (Words{"'"}));
  EXPECT_EQ(words("'l"), (Words{"'", "l"}));
}

TEST(PretokenizeTest, WhiteSpaceLeavesTheLastSpaceToTheWord) {
  EXPECT_EQ(words("a  b"), (Words{"a", " ", " b"}));
  EXPECT_EQ(words("a \n b"), (Words{"a", " \n", " b"}));
  EXPECT_EQ(words("a\n\nb"), (Words{"a", "\n", "\n", "b"}));
  EXPECT_EQ(words("a\nb"), (Words{"a", "\n", "b"}));
  EXPECT_EQ(words("a   "), (Words{"a", "   "}));
  EXPECT_EQ(words("a \t\r\n"), (Words{"a", " \t\r\n"}));
  EXPECT_EQ(words("\u3000\u3000x"), (Words{"\u3000", "\u3000", "x"}));
}

TEST(PretokenizeTest, UnicodeClasses) {
  EXPECT_EQ(words("Größe Пшеница小麦 १२३½Ⅷ"), (Words{"Größe", " Пшеница小麦", " १२३½Ⅷ"}));
  EXPECT_EQ(words("e\u0301"), (Words{"e", "\u0301"}));  // a combining mark is not a letter
  EXPECT_EQ(words("a😀!"), (Words{"a", "😀!"}));
}

TEST(PretokenizeTest, MalformedBytesAreOtherCharacters) {
  EXPECT_EQ(words("a\xFF\xFE b"), (Words{"a", "\xFF\xFE", " b"}));
  EXPECT_EQ(words("a \xC3"), (Words{"a", " \xC3"}));          // cut off at the end
  EXPECT_EQ(words("\xC3z"), (Words{"\xC3", "z"}));            // cut off by a letter
  EXPECT_EQ(words("\xED\xA0\x80"), (Words{"\xED\xA0\x80"}));  // a surrogate
  EXPECT_EQ(words("a\xC1\xA1"), (Words{"a", "\xC1\xA1"}));    // an overlong 'a'
}

// The expected splits come from the reference implementations (golden/make_words_golden.py).
TEST(PretokenizeTest, AgreesWithTheReference) {
  const std::filesystem::path golden = std::filesystem::path(source_folder()) / "tests/tokenizer/golden/words.json";
  const auto cases = nlohmann::json::parse(read_text_file(golden));
  ASSERT_GT(cases.size(), 180u);
  for (const auto& item : cases)
    for (const auto pattern : {SplitPattern::gpt2, SplitPattern::llama3, SplitPattern::cl100k, SplitPattern::qwen2})
      EXPECT_EQ(words(item["text"].get<std::string>(), pattern), item[std::string(name_of(pattern))].get<Words>())
          << name_of(pattern) << ": " << item["text"];
}

TEST(PretokenizeTest, MalformedBytesInLlama3) {
  EXPECT_EQ(words("a\xFF\xFE b", SplitPattern::llama3), (Words{"a", "\xFF\xFE", " b"}));
  EXPECT_EQ(words("\xC3z", SplitPattern::llama3), (Words{"\xC3z"}));
  EXPECT_EQ(words(" \xE2\x82\n", SplitPattern::llama3), (Words{" \xE2\x82\n"}));
}

// DocumentReader may cut a text between any of these pairs of strings, so no pattern may look across the cut.
TEST(PretokenizeTest, NoPatternLooksAcrossTheCutsOfDocumentReader) {
  const std::string
      before[] = {"the end", "7", "it's x", "a\n9", "\u6587", "\u2167"},
      after[] = {" x", "\n\ny", "   ", "\n", " 's", "\u3002", "\uFF0C\n", "\u3002\u6587\u5B57", "\uFF0C\u3002 x"};
  for (const auto pattern : {SplitPattern::gpt2, SplitPattern::llama3, SplitPattern::cl100k, SplitPattern::qwen2})
    for (const std::string& left : before)
      for (const std::string& right : after) {
        Words apart = words(left, pattern);
        for (const std::string& word : words(right, pattern)) apart.push_back(word);
        EXPECT_EQ(words(left + right, pattern), apart) << name_of(pattern) << ": " << left << "|" << right;
      }
}

TEST(PretokenizeTest, PatternsHaveNames) {
  EXPECT_EQ(split_pattern_of("llama3"), SplitPattern::llama3);
  EXPECT_EQ(split_pattern_of("gpt5"), std::nullopt);
  EXPECT_EQ(name_of(SplitPattern::qwen2), "qwen2");
}

TEST(PretokenizeTest, Classes) {
  for (uint32_t letter : {0x41u, 0x7Au, 0xAAu, 0xB5u, 0xDFu, 0x4E00u, 0x1C89u, 0x323AFu})
    EXPECT_EQ(char_class(letter), CharClass::letter) << std::hex << letter;
  for (uint32_t number : {0x30u, 0x39u, 0xB2u, 0xBDu, 0x2167u, 0x1FBF9u})
    EXPECT_EQ(char_class(number), CharClass::number) << std::hex << number;
  for (uint32_t space :
       {0x9u, 0xDu, 0x20u, 0x85u, 0xA0u, 0x1680u, 0x2000u, 0x200Au, 0x2028u, 0x2029u, 0x202Fu, 0x205Fu, 0x3000u})
    EXPECT_EQ(char_class(space), CharClass::space) << std::hex << space;
  for (uint32_t other : {0x0u, 0x1Cu, 0x40u, 0x5Bu, 0x5Fu, 0x200Bu, 0x180Eu, 0x301u, 0x1F600u, 0x10FFFFu, kMalformed})
    EXPECT_EQ(char_class(other), CharClass::other) << std::hex << other;
}

// The expected totals come from Unicode 16.0.
TEST(UnicodeRangesTest, AreSortedDisjointAndComplete) {
  const auto total = [](const auto& ranges) {
    int64_t sum = 0, last = -2;
    for (const CodePointRange& range : ranges) {
      EXPECT_LE(range.first, range.last);
      EXPECT_GT(static_cast<int64_t>(range.first), last + 1);
      last = range.last;
      sum += range.last - range.first + 1;
    }
    return sum;
  };
  EXPECT_EQ(total(kLetterRanges), 141028);
  EXPECT_EQ(total(kNumberRanges), 1911);
}

TEST(Utf8Test, RoundTripsEveryCodePoint) {
  for (uint32_t point = 0; point <= 0x10FFFF; ++point) {
    if (point >= 0xD800 && point <= 0xDFFF) continue;
    std::string bytes;
    append_utf8(bytes, point);
    const CodePoint read = read_code_point(bytes, 0);
    ASSERT_EQ(read.value, point);
    ASSERT_EQ(read.bytes, static_cast<int>(bytes.size()));
  }
}

TEST(Utf8Test, MalformedSequences) {
  for (const char* bytes :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xC3", "\xE2\x82", "\xE2z\x82", "\xF0\x9F\x98", "\xFF"}) {
    const CodePoint read = read_code_point(bytes, 0);
    EXPECT_EQ(read.value, kMalformed) << testing::PrintToString(std::string(bytes));
    EXPECT_EQ(read.bytes, 1);
  }
}

}  // namespace
}  // namespace gptmoe
