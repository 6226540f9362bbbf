#include "tokenizer/tokenizer_file.h"

#include "tokenizer/text_pipeline.h"
#include "tokenizer/tokenizer_file_fixture.h"

namespace gptmoe {
namespace {

using nlohmann::json;

TEST_F(TokenizerFileTest, LoadsTheOldForm) {  // no model.type, merges as "a b"
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.vocab_size(), 259);
  EXPECT_EQ(tokenizer.end_of_text(), 258);
  EXPECT_EQ(tokenizer.encode("the"), std::vector<int32_t>{257});
}

TEST_F(TokenizerFileTest, LoadsTheNewForm) {
  file["model"]["type"] = "BPE";
  file["model"]["merges"] = json::array({json::array({"h", "e"}), json::array({"t", "he"})});
  file["model"]["dropout"] = nullptr;
  file["model"]["continuing_subword_prefix"] = "";
  file["post_processor"] = {{"type", "ByteLevel"}};
  file["decoder"] = {{"type", "ByteLevel"}};
  EXPECT_EQ(load().encode("the"), std::vector<int32_t>{257});
}

TEST_F(TokenizerFileTest, EndOfTextMayBeInTheVocabularyAlone) {
  file["added_tokens"] = json::array();
  file["model"]["vocab"]["<|endoftext|>"] = 258;
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.end_of_text(), 258);
  ASSERT_EQ(tokenizer.vocabulary().added.size(), 1u);
  EXPECT_TRUE(tokenizer.vocabulary().added[0].special);
  file["model"]["vocab"].erase("<|endoftext|>");
  EXPECT_EQ(load().end_of_text(), std::nullopt);
}

TEST_F(TokenizerFileTest, EndOfTextIsTheFirstOfTheUsualNames) {
  file["added_tokens"][0]["content"] = "</s>";
  EXPECT_EQ(load().end_of_text(), 258);
  file["added_tokens"].push_back({{"id", 259}, {"content", "<|end_of_text|>"}, {"special", true}});
  EXPECT_EQ(load().end_of_text(), 259);
  file["added_tokens"].push_back({{"id", 260}, {"content", "<|endoftext|>"}, {"special", false}});
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.end_of_text(), 260);
  EXPECT_GT(tokenizer.encode("<|endoftext|>").size(), 1u);  // special, so no document can contain it
  EXPECT_EQ(load("</s>").end_of_text(), 258);
}

TEST_F(TokenizerFileTest, EndOfTextByName) {
  expect_contains(error("<|eos|>"), "no token \"<|eos|>\" (its special tokens are \"<|endoftext|>\")");
  expect_contains(error("the"), "\"the\" cannot end documents: it is ordinary text");
  expect_contains(error("t"), "\"t\" cannot end documents: it is ordinary text");
  for (int id = 259; id < 270; ++id)
    file["added_tokens"].push_back({{"id", id}, {"content", "<" + std::to_string(id) + ">"}, {"special", true}});
  expect_contains(error("x y"), "\"<265>\", ...)");
  file["added_tokens"] = json::array();
  file["model"]["vocab"]["[end]"] = 270;  // no text encodes to it
  EXPECT_EQ(load("[end]").end_of_text(), 270);
  expect_contains(error("x y"), "no token \"x y\" (this tokenizer has no special tokens)");
}

TEST_F(TokenizerFileTest, UnusedIdsAreUnknown) {
  file["added_tokens"][0]["id"] = file["model"]["vocab"]["<|endoftext|>"] = 300;
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.vocab_size(), 301);
  EXPECT_FALSE(tokenizer.knows(299));
  expect_contains(error_of([&] { tokenizer.decode(std::vector<int32_t>{299}); }), "id 299, unknown");
}

TEST_F(TokenizerFileTest, LongestAddedTokenWins) {
  file["added_tokens"].push_back({{"id", 259}, {"content", "<a>"}, {"special", false}});
  file["added_tokens"].push_back({{"id", 260}, {"content", "<a>é b"}, {"special", false}});
  EXPECT_EQ(load().encode("<a>é b<a>é"), (std::vector<int32_t>{260, 259, 127, 102}));
}

TEST_F(TokenizerFileTest, AnAddedTokenMayAlsoBeAnOrdinaryToken) {
  file["added_tokens"].push_back({{"id", 257}, {"content", "the"}, {"special", false}});
  EXPECT_EQ(load().encode("the x"), (std::vector<int32_t>{257, 220, 87}));
}

// The expected ids come from Hugging Face's tokenizers 0.23.
TEST_F(TokenizerFileTest, AddedTokensMustHaveTheIdsThatTheReferenceGivesThem) {
  const auto added = [](int id, const char* content, bool special) {
    return json{{"id", id}, {"content", content}, {"special", special}};
  };
  const auto makes_it = [](const std::string& token, int written, int made) {
    return "added_tokens: \"" + token + "\" has id " + std::to_string(written) +
           ", but Hugging Face's tokenizers library gives it " + std::to_string(made) +
           ", the next after the vocabulary; ";
  };
  const json end = file["added_tokens"][0];
  file["added_tokens"] = {end, added(270, "foo", false)};
  expect_contains(error(), makes_it("foo", 270, 259));
  file["added_tokens"] = {added(259, "foo", false), end};
  expect_contains(error(), makes_it("foo", 259, 258));
  file["added_tokens"] = {added(256, "he", false), added(258, "foo", false), added(259, "<s>", true),
                          added(257, "the", false), added(260, "bar", false)};
  EXPECT_EQ(load().encode("foobar"), (std::vector<int32_t>{258, 260}));
  file["model"]["vocab"]["th"] = 300;  // new ids follow from the number of entries, not from the highest id
  expect_contains(error(), makes_it("foo", 258, 259));
  file["added_tokens"] = {added(300, "th", false), added(259, "foo", false)};
  EXPECT_EQ(load().encode("foothe"), (std::vector<int32_t>{259, 300, 68}));
}

// The expected ids come from Hugging Face's tokenizers 0.23.
TEST_F(TokenizerFileTest, NormalizedAddedTokensAreNormalizedToo) {
  file["normalizer"] = {{"type", "NFC"}};
  const json word = {{"id", 259}, {"content", "e\u0301te"}, {"special", false}, {"normalized", true}};
  file["added_tokens"].push_back(word);
  for (const char* text : {"e\u0301te", "\u00E9te"}) {
    const Tokenizer tokenizer = load();
    EXPECT_EQ(tokenizer.encode(text), std::vector<int32_t>{259});
    EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{259}), "\u00E9te");
  }
  file["added_tokens"].push_back({{"id", 260}, {"content", "\u00E9te"}, {"special", false}, {"normalized", true}});
  expect_contains(error(), "added_tokens: \"\u00E9te\" has two ids, 259 and 260");
  file["added_tokens"][2]["normalized"] = false;
  file["added_tokens"][2]["content"] = "o\u0308";
  EXPECT_EQ(load().encode("o\u0308"), std::vector<int32_t>{260});
  EXPECT_NE(load().encode("\u00F6"), std::vector<int32_t>{260});
  file.erase("normalizer");
  EXPECT_EQ(load().encode("e\u0301te"), std::vector<int32_t>{259});
  EXPECT_NE(load().encode("\u00E9te"), std::vector<int32_t>{259});
}

TEST_F(TokenizerFileTest, SavedFilesLoadTheSame) {
  file["added_tokens"].push_back({{"id", 259}, {"content", "<tool é>"}, {"special", false}, {"normalized", true}});
  file["normalizer"] = {{"type", "NFC"}};
  file["model"]["ignore_merges"] = true;
  for (const char* pattern : {"gpt2", "llama3", "cl100k", "qwen2"}) {
    file["pre_tokenizer"] = split_by(regex_of(*split_pattern_of(pattern)));
    const Tokenizer tokenizer = load();
    save_tokenizer(tokenizer, path);
    const Vocabulary &before = tokenizer.vocabulary(), after = load_tokenizer(path).vocabulary();
    EXPECT_EQ(after.tokens, before.tokens);
    ASSERT_EQ(after.merges.size(), 2u);
    EXPECT_EQ(after.merges[1].result, 257);
    ASSERT_EQ(after.added.size(), 2u);
    EXPECT_TRUE(after.added[0].special);
    EXPECT_FALSE(after.added[1].special);
    EXPECT_FALSE(after.added[0].normalized);
    EXPECT_TRUE(after.added[1].normalized);
    EXPECT_EQ(name_of(after.pattern), pattern);
    EXPECT_TRUE(after.nfc);
    EXPECT_TRUE(after.whole_words);
  }
}

TEST_F(TokenizerFileTest, SavesWhatTheReferenceImplementationReads) {
  save_tokenizer(load(), path);
  const json saved = json::parse(read_text_file(path));
  EXPECT_EQ(saved["model"]["type"], "BPE");
  EXPECT_EQ(saved["model"]["vocab"].size(), 259u);
  EXPECT_EQ(saved["model"]["vocab"]["<|endoftext|>"], 258);
  EXPECT_EQ(saved["model"]["vocab"]["Ġ"], 220);
  EXPECT_EQ(saved["model"]["merges"], json::array({"h e", "t he"}));
  EXPECT_EQ(saved["model"]["ignore_merges"], false);
  EXPECT_EQ(saved["added_tokens"][0]["id"], 258);
  EXPECT_EQ(saved["added_tokens"][0]["special"], true);
  EXPECT_EQ(saved["normalizer"], nullptr);
  EXPECT_EQ(saved["pre_tokenizer"]["type"], "ByteLevel");
  EXPECT_EQ(saved["pre_tokenizer"]["add_prefix_space"], false);
  EXPECT_EQ(saved["pre_tokenizer"]["use_regex"], true);
  EXPECT_EQ(saved["decoder"]["type"], "ByteLevel");
}

TEST_F(TokenizerFileTest, SavesAPatternAsASplit) {
  file["pre_tokenizer"] = split_by(regex_of(SplitPattern::qwen2));
  save_tokenizer(load(), path);
  const json saved = json::parse(read_text_file(path))["pre_tokenizer"];
  EXPECT_EQ(saved["type"], "Sequence");
  ASSERT_EQ(saved["pretokenizers"].size(), 2u);
  EXPECT_EQ(saved["pretokenizers"][0], json({{"type", "Split"},
                                             {"pattern", {{"Regex", regex_of(SplitPattern::qwen2)}}},
                                             {"behavior", "Isolated"},
                                             {"invert", false}}));
  EXPECT_EQ(saved["pretokenizers"][1]["use_regex"], false);
}

TEST_F(TokenizerFileTest, DoesNotSaveTwoTokensWithOneWrittenForm) {
  Vocabulary vocabulary = load().vocabulary();
  vocabulary.tokens.push_back("é");  // this is also the written form of byte 0xE9
  vocabulary.added.push_back({259, false});
  expect_contains(error_of([&] { save_tokenizer(Tokenizer(std::move(vocabulary)), path); }),
                  "cannot hold two tokens written \"é\"");
}

}  // namespace
}  // namespace gptmoe
