#include "tokenizer/bpe_trainer.h"

#include <map>
#include <random>

#include "base/ordered_workers.h"
#include "support/error_line.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer_file.h"

namespace gptmoe {
namespace {

std::vector<std::string> learnt(const Tokenizer& tokenizer) {
  const auto& tokens = tokenizer.vocabulary().tokens;
  return {tokens.begin() + 256, tokens.end() - 1};
}

// All merges, as pairs of byte strings.
std::vector<std::pair<std::string, std::string>> merges_of(const Tokenizer& tokenizer) {
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  std::vector<std::pair<std::string, std::string>> merges;
  for (const Merge& merge : vocabulary.merges)
    merges.emplace_back(vocabulary.tokens[static_cast<size_t>(merge.left)],
                        vocabulary.tokens[static_cast<size_t>(merge.right)]);
  return merges;
}

// BPE training by its definition: counts all pairs, merges the most frequent one everywhere, and repeats.
std::vector<Merge> train_slowly(SplitPattern pattern, const std::vector<std::string>& documents, int64_t merges) {
  std::map<std::string, int64_t> counts;
  for (const std::string& text : documents)
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = word_end(pattern, text, begin);
      ++counts[text.substr(begin, end - begin)];
      begin = end;
    }
  std::vector<std::pair<std::vector<int32_t>, int64_t>> words;
  for (const auto& [word, count] : counts) {
    words.push_back({{}, count});
    for (char byte : word) {
      const auto& order = alphabet_order();
      const auto at = std::find(order.begin(), order.end(), static_cast<uint8_t>(byte));
      words.back().first.push_back(static_cast<int32_t>(at - order.begin()));
    }
  }
  std::vector<Merge> learnt;
  while (std::ssize(learnt) < merges) {
    std::map<std::pair<int32_t, int32_t>, int64_t> pairs;
    for (const auto& [word, count] : words)
      for (size_t i = 0; i + 1 < word.size(); ++i) pairs[{word[i], word[i + 1]}] += count;
    auto best = pairs.begin();
    for (auto pair = pairs.begin(); pair != pairs.end(); ++pair)
      if (pair->second > best->second) best = pair;
    if (best == pairs.end() || best->second < 2) break;
    const auto rank = static_cast<int32_t>(learnt.size());
    learnt.push_back({best->first.first, best->first.second, 256 + rank, rank});
    for (auto& [word, count] : words)
      for (size_t i = 0; i + 1 < word.size(); ++i)
        if (std::pair(word[i], word[i + 1]) == best->first) {
          word[i] = 256 + rank;
          word.erase(word.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        }
  }
  return learnt;
}

std::vector<std::string> random_documents(std::mt19937& random, int pieces) {
  static constexpr std::string_view kPieces[] = {"a", "a", "b",   "ab", "aaa", "B",        " ",  " ", "\n",
                                                 ",", "1", "234", "'s", "'S",  "\xC3\xA9", "\t", "-", "\xFF"};
  std::vector<std::string> documents(1 + random() % 5);
  for (int i = 0; i < pieces; ++i) documents[random() % documents.size()] += kPieces[random() % std::size(kPieces)];
  return documents;
}

TEST(BpeTrainerTest, AgreesWithTheDefinition) {
  std::mt19937 random(5);
  for (int round = 0; round < 60; ++round) {
    const SplitPattern pattern = round % 2 ? SplitPattern::gpt2 : SplitPattern::llama3;
    const auto documents = random_documents(random, round < 50 ? 300 : 3000);
    BpeTrainer trainer(pattern);
    for (const std::string& document : documents) trainer.add(document);
    const Tokenizer tokenizer = trainer.train(256 + 150 + 1);
    const auto expected = train_slowly(pattern, documents, 150);
    const auto& merges = tokenizer.vocabulary().merges;
    ASSERT_EQ(merges.size(), expected.size()) << "round " << round;
    for (size_t i = 0; i < merges.size(); ++i) {
      ASSERT_EQ(std::pair(merges[i].left, merges[i].right), std::pair(expected[i].left, expected[i].right))
          << "round " << round << ", merge " << i;
      ASSERT_EQ(std::pair(merges[i].result, merges[i].rank), std::pair(expected[i].result, expected[i].rank));
    }
  }
}

// Runs of two letters, where occurrences of a pair overlap or touch.
TEST(BpeTrainerTest, AgreesWithTheDefinitionOnLongWords) {
  std::mt19937 random(6);
  for (int round = 0; round < 8; ++round) {
    std::string word(4000, 'a');
    for (char& letter : word) letter = random() % (round < 4 ? 12 : 2) ? 'a' : 'b';
    BpeTrainer trainer;
    trainer.add(word);
    const auto expected = train_slowly(SplitPattern::gpt2, {word}, 200);
    const auto merges = trainer.train(256 + 200 + 1).vocabulary().merges;
    ASSERT_EQ(merges.size(), expected.size());
    for (size_t i = 0; i < merges.size(); ++i)
      ASSERT_EQ(std::pair(merges[i].left, merges[i].right), std::pair(expected[i].left, expected[i].right))
          << "round " << round << ", merge " << i;
  }
}

TEST(BpeTrainerTest, LearnsTheMostFrequentPairFirst) {
  BpeTrainer trainer;
  trainer.add("abc abc abd");  // words "abc", " abc", " abd"
  const Tokenizer tokenizer = trainer.train(260);
  // "ab" occurs 3 times. Then " ab" and "abc" occur twice each; " ab" comes first, because " " has a lower id than
  // "ab". After that, "abc" occurs once.
  EXPECT_EQ(learnt(tokenizer), (std::vector<std::string>{"ab", " ab"}));
  EXPECT_EQ(tokenizer.end_of_text(), 258);
  EXPECT_EQ(tokenizer.encode(" abc"), (std::vector<int32_t>{257, 66}));
}

TEST(BpeTrainerTest, TiesGoToTheLowerIds) {
  BpeTrainer trainer;
  for (const char* document : {"zq", "zq", "cb", "cb", "ca", "ca"}) trainer.add(document);
  EXPECT_EQ(learnt(trainer.train(259)), (std::vector<std::string>{"ca", "cb"}));
}

TEST(BpeTrainerTest, OverlapsMergeFromTheLeft) {
  BpeTrainer trainer;
  trainer.add("aaaaa");
  trainer.add("aaaaa");
  const Tokenizer tokenizer = trainer.train(300);
  EXPECT_EQ(learnt(tokenizer), (std::vector<std::string>{"aa", "aaa", "aaaaa"}));  // aa|aa|a, then aa|aaa
  EXPECT_EQ(tokenizer.encode("aaaaa"), std::vector<int32_t>{258});
}

TEST(BpeTrainerTest, StopsWhenNoPairOccursTwice) {
  BpeTrainer trainer;
  EXPECT_EQ(trainer.train(1000).vocab_size(), 257);
  trainer.add("xyz xyz");
  EXPECT_EQ(trainer.train(1000).vocab_size(), 256 + 2 + 1);  // "xy", "xyz"; " xyz" occurs once
}

TEST(BpeTrainerTest, CountsBeyond32Bits) {
  BpeTrainer trainer;
  WordCounts words;
  words.add(SplitPattern::gpt2, "xy\nuv\nuv\nuv");
  for (int doubling = 0; doubling < 34; ++doubling) words.merge(WordCounts(words));
  words.add(SplitPattern::gpt2, "uw");
  trainer.add(words);
  EXPECT_EQ(learnt(trainer.train(259)), (std::vector<std::string>{"uv", "xy"}));
}

TEST(BpeTrainerTest, OrderOfDocumentsDoesNotMatter) {
  std::mt19937 random(7);
  auto documents = random_documents(random, 4000);
  BpeTrainer trainer, shuffled;
  for (const std::string& document : documents) trainer.add(document);
  std::reverse(documents.begin(), documents.end());
  for (const std::string& document : documents) shuffled.add(document);
  EXPECT_EQ(merges_of(trainer.train(500)), merges_of(shuffled.train(500)));
}

// Counts documents in batches on several threads, as for a corpus.
TEST(BpeTrainerTest, ThreadsAndBatchesDoNotMatter) {
  std::mt19937 random(8);
  std::vector<std::string> documents;
  for (int i = 0; i < 40; ++i)
    for (auto& document : random_documents(random, 300)) documents.push_back(std::move(document));
  const auto train = [&](int threads, size_t batch, int64_t max_letters) {
    BpeTrainer trainer(SplitPattern::llama3, max_letters);
    size_t taken = 0;
    run_ordered(
        threads, int64_t{1} << 20,
        [&]() -> std::optional<size_t> {
          return taken < documents.size() ? std::optional(std::exchange(taken, taken + batch)) : std::nullopt;
        },
        [](size_t) { return int64_t{1}; },
        [&](int, size_t first) {
          WordCounts words;
          for (size_t i = first; i < std::min(first + batch, documents.size()); ++i)
            words.add(trainer.pattern(), documents[i]);
          return words;
        },
        [&](const WordCounts& words) { trainer.add(words); });
    return std::pair(merges_of(trainer.train(600)), trainer.dropped_words());
  };
  constexpr int64_t kMany = 1 << 20, kFew = 600;
  const auto expected = train(1, 1, kMany);
  EXPECT_GT(expected.first.size(), 300u);
  for (int threads : {1, 2, 4})
    for (size_t batch : {1, 7, 1000}) EXPECT_EQ(train(threads, batch, kMany), expected) << threads << " " << batch;
  // If words are dropped, the batches matter but the threads do not.
  const auto dropping = train(1, 7, kFew);
  EXPECT_GT(dropping.second, 0);
  EXPECT_NE(dropping.first, expected.first);
  EXPECT_EQ(train(2, 7, kFew), dropping);
  EXPECT_EQ(train(4, 7, kFew), dropping);
}

TEST(BpeTrainerTest, DropsTheRarestWordsBeyondItsLimit) {
  BpeTrainer trainer(SplitPattern::gpt2, 12);
  trainer.add(" aa aa bb bb cc dd");  // 12 letters in distinct words
  EXPECT_EQ(trainer.distinct_words(), 4);
  trainer.add(" cc ee");  // 15 letters: drops " dd" and " ee", then all other words, which occur twice
  EXPECT_EQ(trainer.distinct_words(), 0);
  EXPECT_EQ(trainer.dropped_words(), 5);
  trainer.add(" aa aa bb bb bb ee ff ff ff");
  EXPECT_EQ(trainer.distinct_words(), 4);
  trainer.add(" gg");
  EXPECT_EQ(trainer.distinct_words(), 2);
  EXPECT_EQ(trainer.dropped_words(), 8);
  EXPECT_EQ(learnt(trainer.train(300)), (std::vector<std::string>{"bb", "ff", " bb", " ff"}));
}

TEST(BpeTrainerTest, SplitsByItsPattern) {
  for (const auto pattern : {SplitPattern::gpt2, SplitPattern::llama3}) {
    BpeTrainer trainer(pattern);
    for (int i = 0; i < 4; ++i) trainer.add("2024");
    const Tokenizer tokenizer = trainer.train(300);
    EXPECT_EQ(tokenizer.vocabulary().pattern, pattern);
    EXPECT_FALSE(tokenizer.vocabulary().nfc);
    EXPECT_EQ(learnt(tokenizer).back(), pattern == SplitPattern::gpt2 ? "2024" : "202");  // \p{N}{1,3}
  }
}

TEST(BpeTrainerTest, SpecialTokensComeLast) {
  const BpeTrainer trainer;
  const Tokenizer tokenizer = trainer.train(259, {"<|pad|>", std::string(kEndOfText), "<|user|>"});
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  EXPECT_EQ(vocabulary.tokens[256], "<|pad|>");
  EXPECT_EQ(vocabulary.tokens[257], kEndOfText);
  ASSERT_EQ(vocabulary.added.size(), 3u);
  EXPECT_EQ(vocabulary.added[2].id, 258);
  EXPECT_TRUE(vocabulary.added[2].special);
  EXPECT_EQ(tokenizer.end_of_text(), 257);
}

// tokenizer.json does not say which token ends documents, but loading the file must choose the one that it was saved
// with.
TEST(BpeTrainerTest, TheSameTokenEndsDocumentsAfterSavingAndLoading) {
  TemporaryFolder folder;
  const auto path = folder / "tokenizer.json";
  for (const std::vector<std::string>& special :
       std::vector<std::vector<std::string>>{{"<s>", "</s>"},
                                             {"</s>", "<|end_of_text|>"},
                                             {"<|end_of_text|>", "<|endoftext|>"},
                                             {"<|endoftext|>", "x y"}}) {
    const Tokenizer tokenizer = BpeTrainer().train(258, special);
    EXPECT_EQ(tokenizer.end_of_text(), special[1] == "x y" ? 256 : 257);
    save_tokenizer(tokenizer, path);
    EXPECT_EQ(load_tokenizer(path).end_of_text(), tokenizer.end_of_text());
  }
  for (const std::vector<std::string>& special : std::vector<std::vector<std::string>>{{}, {"<s>", "<|END|>"}})
    EXPECT_EQ(
        error_of([&] { BpeTrainer::check(300, special); }),
        "none of the special tokens can end documents; give <|endoftext|>, <|end_of_text|> or </s> as one of them");
}

TEST(BpeTrainerTest, NoMergeSpellsASpecialToken) {
  BpeTrainer trainer;
  for (int i = 0; i < 5; ++i) trainer.add("abc");
  const Tokenizer tokenizer = trainer.train(300, {"abc", "</s>"});
  EXPECT_EQ(tokenizer.vocabulary().tokens[256], "ab");
  EXPECT_EQ(tokenizer.vocab_size(), 259);
  EXPECT_EQ(tokenizer.encode("abc"), (std::vector<int32_t>{256, 66}));
}

// tokenizer.json writes the space in " ab" as "\u0120".
TEST(BpeTrainerTest, NoMergeIsWrittenLikeASpecialToken) {
  TemporaryFolder folder;
  const auto path = folder / "tokenizer.json";
  BpeTrainer trainer;
  for (int i = 0; i < 5; ++i) trainer.add(" a a");
  const Tokenizer tokenizer = trainer.train(300, {"\u0120a", "</s>"});
  EXPECT_EQ(tokenizer.vocab_size(), 258);
  save_tokenizer(tokenizer, path);
  EXPECT_EQ(load_tokenizer(path).encode(" a"), (std::vector<int32_t>{220, 64}));
}

TEST(BpeTrainerTest, ProgressIsCalledForEveryToken) {
  BpeTrainer trainer;
  trainer.add("abcabc");
  std::vector<int64_t> heard;
  trainer.train(300, {std::string(kEndOfText)}, [&](int64_t tokens) { heard.push_back(tokens); });
  EXPECT_EQ(heard, (std::vector<int64_t>{257, 258}));
}

TEST(BpeTrainerTest, RefusesWhatCannotBeTrained) {
  const BpeTrainer trainer;
  expect_contains(error_of([&] { trainer.train(256); }),
                  "a vocabulary of 256 entries cannot be trained; give at least 257 (256 bytes, 1 special) and at most "
                  "4194304");
  expect_contains(error_of([&] { BpeTrainer::check(kMaxVocabSize + 1, {"</s>"}); }),
                  "a vocabulary of 4194305 entries cannot be");
  EXPECT_EQ(error_of([&] { trainer.train(257); }), "no error");
  const auto error = [&](const std::vector<std::string>& special) {
    return error_of([&] { trainer.train(300, special); });
  };
  EXPECT_EQ(error({""}), "\"\" cannot be a special token: it is empty or a single byte");
  EXPECT_EQ(error({"a"}), "\"a\" cannot be a special token: it is empty or a single byte");
  EXPECT_EQ(error({"<|a|>", "<|a|>"}), "\"<|a|>\" cannot be a special token: it is given twice");
  EXPECT_EQ(error({"<|\xFF|>"}),
            "\"<|\uFFFD|>\" cannot be a special token: it is not valid UTF-8, and tokenizer.json must be");
  EXPECT_EQ(error({"\u00E9"}), "\"\u00E9\" cannot be a special token: tokenizer.json uses this text for a byte");
}

}  // namespace
}  // namespace gptmoe
