#include "data/tokenizer.h"

#include <nlohmann/json.hpp>
#include <random>

#include "data/bpe_trainer.h"
#include "data/byte_alphabet.h"
#include "data/pretokenize.h"
#include "data/tokenizer_file.h"
#include "helpers.h"

namespace gptmoe {
namespace {

using nlohmann::json;

const std::filesystem::path kGolden = std::filesystem::path(GPTMOE_SOURCE_DIR) / "tests/data/golden";

const Tokenizer& golden_tokenizer() {
  static const Tokenizer tokenizer = load_tokenizer(kGolden / "tokenizer.json");
  return tokenizer;
}

// Encodings by the reference implementation (golden/make_tokenizer_golden.py).
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
  EXPECT_NE(cache.find(" river"), nullptr);
  const auto once = ids;
  golden_tokenizer().encode(text, cache, ids);
  ASSERT_EQ(ids.size(), 2 * once.size());
  EXPECT_TRUE(std::equal(once.begin(), once.end(), ids.begin() + std::ssize(once)));
}

// A merge that searched the whole word at every step would not end within the test's time limit.
TEST(TokenizerTest, VeryLongWordsAreNoTrouble) {
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

// The plain definition: look for the lowest rank, merge its leftmost occurrence, start again.
void merge_slowly(const std::vector<Merge>& merges, std::vector<int32_t>& symbols) {
  for (size_t rank = 0; rank < merges.size();) {
    bool merged = false;
    for (size_t i = 0; i + 1 < symbols.size() && !merged; ++i)
      if (symbols[i] == merges[rank].left && symbols[i + 1] == merges[rank].right) {
        symbols[i] = merges[rank].result;
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        merged = true;
      }
    rank = merged ? 0 : rank + 1;
  }
}

TEST(MergeTableTest, AgreesWithThePlainDefinition) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    std::vector<Merge> merges;
    std::set<std::pair<int32_t, int32_t>> used;
    for (int32_t result = 3; result < 12; ++result) {
      const auto left = static_cast<int32_t>(random() % static_cast<uint32_t>(result));
      const auto right = static_cast<int32_t>(random() % static_cast<uint32_t>(result));
      if (used.emplace(left, right).second) merges.push_back({left, right, result});
    }
    std::vector<int32_t> symbols(1 + random() % 60);
    for (int32_t& symbol : symbols) symbol = static_cast<int32_t>(random() % 3);
    auto expected = symbols;
    merge_slowly(merges, expected);
    MergeTable(merges).merge_word(symbols);
    ASSERT_EQ(symbols, expected) << "round " << round;
  }
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

struct TrainerTest : testing::Test {
  std::vector<std::string> learnt(const Tokenizer& tokenizer) {
    const auto& tokens = tokenizer.vocabulary().tokens;
    return {tokens.begin() + 256, tokens.end() - 1};
  }
  BpeTrainer trainer;
};

TEST_F(TrainerTest, LearnsTheMostFrequentPairFirst) {
  trainer.add("abc abc abd");  // words "abc", " abc", " abd"
  const Tokenizer tokenizer = trainer.train(260);
  // "ab" 3 times; then " ab" and "abc" twice each, " " having the lower id, after which "abc" occurs once.
  EXPECT_EQ(learnt(tokenizer), (std::vector<std::string>{"ab", " ab"}));
  EXPECT_EQ(tokenizer.end_of_text(), 258);
  EXPECT_EQ(tokenizer.encode(" abc"), (std::vector<int32_t>{257, 66}));
}

TEST_F(TrainerTest, TiesGoToTheLowerIds) {
  trainer.add("zq");
  trainer.add("zq");
  trainer.add("ca");
  trainer.add("ca");
  trainer.add("cb");
  trainer.add("cb");
  EXPECT_EQ(learnt(trainer.train(259)), (std::vector<std::string>{"ca", "cb"}));
}

TEST_F(TrainerTest, OverlapsMergeFromTheLeft) {
  trainer.add("aaaaa");
  trainer.add("aaaaa");
  const Tokenizer tokenizer = trainer.train(300);
  EXPECT_EQ(learnt(tokenizer), (std::vector<std::string>{"aa", "aaa", "aaaaa"}));  // aa|aa|a, then aa|aaa
  EXPECT_EQ(tokenizer.encode("aaaaa"), std::vector<int32_t>{258});
}

TEST_F(TrainerTest, StopsWhereNoPairOccursTwice) {
  trainer.add("xyz xyz");
  const Tokenizer tokenizer = trainer.train(1000);
  EXPECT_EQ(tokenizer.vocab_size(), 256 + 2 + 1);  // "xy", "xyz"; " xyz" occurs once
}

TEST_F(TrainerTest, OrderOfDocumentsDoesNotMatter) {
  BpeTrainer reversed;
  const std::vector<std::string> documents = {"the river ran on", "on the river",
                                              "he ran under the mill, the mill ran"};
  for (size_t i = 0; i < documents.size(); ++i) {
    trainer.add(documents[i]);
    reversed.add(documents[documents.size() - 1 - i]);
  }
  EXPECT_EQ(trainer.train(280).vocabulary().tokens, reversed.train(280).vocabulary().tokens);
}

// Counts kept up to date must equal counts made anew after every merge.
TEST_F(TrainerTest, AgreesWithRecounting) {
  std::mt19937 random(5);
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "aabbc "[random() % 6];
  trainer.add(text);
  const Tokenizer tokenizer = trainer.train(256 + 60 + 1);
  const Vocabulary& vocabulary = tokenizer.vocabulary();

  std::vector<std::vector<int32_t>> words;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = gpt2_word_end(text, begin);
    std::vector<int32_t> word;
    for (unsigned char byte : text.substr(begin, end - begin))
      word.push_back(static_cast<int32_t>(std::find(alphabet_order().begin(), alphabet_order().end(), byte) -
                                          alphabet_order().begin()));
    words.push_back(std::move(word));
    begin = end;
  }
  for (const Merge& merge : vocabulary.merges) {
    std::map<std::pair<int32_t, int32_t>, int64_t> counts;
    for (const auto& word : words)
      for (size_t i = 0; i + 1 < word.size(); ++i) ++counts[{word[i], word[i + 1]}];
    auto best = counts.begin();
    for (auto entry = counts.begin(); entry != counts.end(); ++entry)
      if (entry->second > best->second) best = entry;
    ASSERT_EQ(best->first, std::pair(merge.left, merge.right)) << "for token " << merge.result;
    for (auto& word : words) merge_slowly({merge}, word);
  }
  EXPECT_EQ(vocabulary.tokens.size(), 317u);
}

TEST_F(TrainerTest, SpecialTokensComeLast) {
  const Tokenizer tokenizer = trainer.train(258, {std::string(kEndOfText), "<|pad|>"});
  EXPECT_EQ(tokenizer.vocabulary().tokens[256], kEndOfText);
  EXPECT_EQ(tokenizer.vocabulary().tokens[257], "<|pad|>");
  EXPECT_TRUE(tokenizer.vocabulary().added[1].special);
}

TEST_F(TrainerTest, VocabularyTooSmallForTheBytes) {
  expect_contains(error_of([&] { trainer.train(256); }),
                  "a vocabulary of 256 entries cannot be trained; give at least 257");
}

}  // namespace
}  // namespace gptmoe
