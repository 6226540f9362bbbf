#include "tokenizer/tokenizer.h"

#include <random>

#include "base/json.h"
#include "support/error_line.h"
#include "support/test_folders.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/tokenizer_file.h"

namespace gptmoe {
namespace {

using nlohmann::json;

const std::filesystem::path kGolden = std::filesystem::path(source_folder()) / "tests/tokenizer/golden";

const Tokenizer& golden_tokenizer() {
  static const Tokenizer tokenizer = load_tokenizer(kGolden / "tokenizer.json");
  return tokenizer;
}

// The expected encodings come from the reference implementation (golden/make_tokenizer_golden.py).
TEST(TokenizerTest, AgreesWithTheReference) {
  const json cases = json::parse(read_text_file(kGolden / "encodings.json"));
  ASSERT_GT(cases.size(), 60u);
  for (const json& item : cases) {
    const std::string text = item["text"];
    EXPECT_EQ(golden_tokenizer().encode(text), item["ids"].get<std::vector<int32_t>>()) << item["text"];
    EXPECT_EQ(golden_tokenizer().decode(golden_tokenizer().encode(text)), text);
  }
}

TEST(TokenizerTest, KnowsItsVocabulary) {
  EXPECT_EQ(golden_tokenizer().vocab_size(), 401);
  EXPECT_EQ(golden_tokenizer().end_of_text(), 0);
  EXPECT_TRUE(golden_tokenizer().knows(400));
  EXPECT_FALSE(golden_tokenizer().knows(401));
  EXPECT_FALSE(golden_tokenizer().knows(-1));
}

TEST(TokenizerTest, TextCannotForgeASpecialToken) {
  const std::string text = "a<|endoftext|>b";
  const auto ids = golden_tokenizer().encode(text);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 0), 0);
  EXPECT_EQ(golden_tokenizer().decode(ids), text);
  EXPECT_EQ(golden_tokenizer().decode(std::vector<int32_t>{0}), kEndOfText);
}

TEST(TokenizerTest, RoundTripsArbitraryBytes) {
  std::mt19937 random(3);
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(golden_tokenizer().decode(golden_tokenizer().encode(all)), all);
  static constexpr std::string_view kPieces[] = {"the river", "  ", "\n", "\xC3", "\xE2\x82", "<tool", "'ll", "é", "7"};
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 20; ++i)
      if (random() % 2) {
        bytes += static_cast<char>(random() % 256);
      } else {
        bytes += kPieces[random() % std::size(kPieces)];
      }
    ASSERT_EQ(golden_tokenizer().decode(golden_tokenizer().encode(bytes)), bytes) << testing::PrintToString(bytes);
  }
}

TEST(TokenizerTest, CachedWordsEncodeTheSame) {
  WordCache cache;
  std::vector<int32_t> ids;
  const std::string text = "the river, the river ran on under the mill";
  golden_tokenizer().encode(text, cache, ids);
  const auto once = ids;
  golden_tokenizer().encode(text, cache, ids);
  ASSERT_EQ(ids.size(), 2 * once.size());
  EXPECT_TRUE(std::equal(once.begin(), once.end(), ids.begin() + std::ssize(once)));
}

// A merge that searched the whole word at every step would not finish within the test's time limit.
TEST(TokenizerTest, VeryLongWordsAreEncodedQuickly) {
  std::string word;
  while (word.size() < 400'000) word += "the";
  const auto ids = golden_tokenizer().encode(word);
  EXPECT_EQ(golden_tokenizer().decode(ids), word);
  EXPECT_LT(ids.size(), word.size() / 2);
}

TEST(TokenizerTest, DecodeRefusesUnknownIds) {
  expect_contains(error_of([] {
                    golden_tokenizer().decode(std::vector<int32_t>{1, 401});
                  }),
                  "token 1 has id 401, unknown to a tokenizer of 401 entries");
  expect_contains(error_of([] { golden_tokenizer().decode(std::vector<int32_t>{-1}); }), "has id 4294967295");
}

TEST(ByteAlphabetTest, NamesAreGpt2s) {
  EXPECT_EQ(to_byte_names("\n the\xC3\xA9"), "ĊĠtheÃ©");
  EXPECT_EQ(to_byte_names(std::string("\0\x7F\xAD", 3)), "ĀġŃ");
  EXPECT_EQ(from_byte_names("ĊĠthe"), "\n the");
  EXPECT_EQ(from_byte_names("a b"), std::nullopt);
  EXPECT_EQ(from_byte_names("小"), std::nullopt);
  EXPECT_EQ(alphabet_order()[0], '!');
  EXPECT_EQ(alphabet_order()[94], 0xA1);
  EXPECT_EQ(alphabet_order()[188], 0);
  EXPECT_EQ(alphabet_order()[220], ' ');
  EXPECT_EQ(alphabet_order()[255], 0xAD);
}

// A vocabulary with the 256 bytes as tokens 0 to 255. Tests add more tokens.
Vocabulary byte_vocabulary() {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) vocabulary.tokens.emplace_back(1, static_cast<char>(byte));
  return vocabulary;
}

std::vector<int32_t> bytes_of(std::string_view text) {
  std::vector<int32_t> ids;
  for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
  return ids;
}

TEST(TokenizerTest, WholeWordsComeBeforeMerging) {
  Vocabulary vocabulary = byte_vocabulary();
  vocabulary.tokens.insert(vocabulary.tokens.end(), {"ab", "abc", " abc"});
  vocabulary.merges = {{'a', 'b', 256, 0}};
  const Tokenizer merging{Vocabulary(vocabulary)};
  EXPECT_EQ(merging.encode("abc"), (std::vector<int32_t>{256, 'c'}));
  vocabulary.whole_words = true;
  const Tokenizer whole(std::move(vocabulary));
  EXPECT_EQ(whole.encode("abc abc abcd"), (std::vector<int32_t>{257, 258, ' ', 256, 'c', 'd'}));
}

TEST(TokenizerTest, UsesThePatternOfTheVocabulary) {
  Vocabulary vocabulary = byte_vocabulary();
  vocabulary.tokens.push_back("12");
  vocabulary.tokens.push_back("1212");
  vocabulary.merges = {{'1', '2', 256, 0}, {256, 256, 257, 1}};
  EXPECT_EQ(Tokenizer{Vocabulary(vocabulary)}.encode("1212"), std::vector<int32_t>{257});
  vocabulary.pattern = SplitPattern::llama3;
  EXPECT_EQ(Tokenizer{Vocabulary(vocabulary)}.encode("1212"), (std::vector<int32_t>{256, '1', '2'}));
}

TEST(TokenizerTest, AppliesNfcIfTheVocabularySaysSo) {
  Vocabulary vocabulary = byte_vocabulary();
  EXPECT_EQ(Tokenizer{Vocabulary(vocabulary)}.encode("e\u0301"), bytes_of("e\u0301"));
  vocabulary.nfc = true;
  EXPECT_EQ(Tokenizer{Vocabulary(vocabulary)}.encode("e\u0301"), bytes_of("\u00e9"));
}

TEST(TokenizerTest, AddedTokensAreFoundBeforeWordsAndLongerOnesFirst) {
  Vocabulary vocabulary = byte_vocabulary();
  vocabulary.tokens.insert(vocabulary.tokens.end(), {"<a>", "<a><b>", "  ", "<|end|>"});
  vocabulary.added = {{256, false}, {257, false}, {258, false, true}, {259, true}};
  const Tokenizer tokenizer(std::move(vocabulary));
  EXPECT_EQ(tokenizer.encode("x<a>y"), (std::vector<int32_t>{'x', 256, 'y'}));
  EXPECT_EQ(tokenizer.encode("<a><b><a>"), (std::vector<int32_t>{257, 256}));
  EXPECT_EQ(tokenizer.encode("x   y"), (std::vector<int32_t>{'x', 258, ' ', 'y'}));
  EXPECT_EQ(tokenizer.encode("<|end|>"), bytes_of("<|end|>"));
}

// Added tokens that are not normalized are found first. Normalized ones are then searched in the remaining text.
TEST(TokenizerTest, AddedTokensAreFoundInTwoPhases) {
  Vocabulary vocabulary = byte_vocabulary();
  vocabulary.nfc = true;
  vocabulary.tokens.insert(vocabulary.tokens.end(), {"bc", "\u00e9", "abc"});
  vocabulary.added = {{256, false, false}, {257, false, true}, {258, false, true}};
  const Tokenizer tokenizer(std::move(vocabulary));
  EXPECT_EQ(tokenizer.encode("abc"), (std::vector<int32_t>{'a', 256}));
  EXPECT_EQ(tokenizer.encode("e\u0301"), std::vector<int32_t>{257});
}

TEST(TokenizerTest, KnowsWhetherPiecesEncodeLikeTheWholeText) {
  Vocabulary vocabulary = byte_vocabulary();
  vocabulary.tokens.push_back("<a> <b>");
  vocabulary.added = {{256, false}};
  EXPECT_TRUE(Tokenizer{Vocabulary(vocabulary)}.encodes_pieces());
  for (const char* several : {"a b", "\u6587\u3002", "x\uFF0C", "\u6587\n"}) {
    Vocabulary other = byte_vocabulary();
    other.tokens.push_back(several);
    other.added = {{256, false}};
    EXPECT_FALSE(Tokenizer{std::move(other)}.encodes_pieces()) << several;
  }
  for (const char* one : {"\u3002", "\u3002\u6587", "\u6587\u3001"}) {
    Vocabulary other = byte_vocabulary();
    other.tokens.push_back(one);
    other.added = {{256, false}};
    EXPECT_TRUE(Tokenizer{std::move(other)}.encodes_pieces()) << one;
  }
  vocabulary.tokens.push_back("a b");
  vocabulary.added.push_back({257, false});
  EXPECT_FALSE(Tokenizer{Vocabulary(vocabulary)}.encodes_pieces());
}

}  // namespace
}  // namespace gptmoe
