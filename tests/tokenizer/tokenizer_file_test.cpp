#include "tokenizer/tokenizer_file.h"

#include <nlohmann/json.hpp>

#include "base/error_line.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/text_pipeline.h"

namespace gptmoe {
namespace {

using nlohmann::json;

json split_by(std::string_view regex) {
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}},
            {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
}

struct TokenizerFileTest : testing::Test {
  TokenizerFileTest() {
    json vocab;
    for (int id = 0; id < 256; ++id)
      vocab[to_byte_names(std::string(1, static_cast<char>(alphabet_order()[static_cast<size_t>(id)])))] = id;
    vocab["he"] = 256;
    vocab["the"] = 257;
    const json end = {{"id", 258}, {"content", "<|endoftext|>"}, {"special", true}};
    file = {{"added_tokens", {end}},
            {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}},
            {"model", {{"vocab", vocab}, {"merges", {"h e", "t he"}}}}};
  }

  Tokenizer load(const std::string& end_of_text = "") {
    write_text_file(path, file.dump());
    return load_tokenizer(path, {.end_of_text = end_of_text});
  }
  // The complaint without the file's name, which it must start with.
  std::string error(const std::string& end_of_text = "") {
    const std::string line = error_of([&] { load(end_of_text); }), name = path.string() + ": ";
    EXPECT_TRUE(line.starts_with(name)) << line;
    return line.substr(std::min(line.size(), name.size()));
  }

  TemporaryFolder folder;
  std::filesystem::path path = folder / "tokenizer.json";
  json file;
};

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

TEST_F(TokenizerFileTest, EndOfTextMayStandInTheVocabularyOnly) {
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
  EXPECT_GT(tokenizer.encode("<|endoftext|>").size(), 1u);  // special now: no document can forge its end
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
  file["model"]["vocab"]["[end]"] = 270;  // text cannot make it
  EXPECT_EQ(load("[end]").end_of_text(), 270);
  expect_contains(error("x y"), "no token \"x y\" (this tokenizer has no special tokens)");
}

TEST_F(TokenizerFileTest, UnusedIdsAreHoles) {
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

TEST_F(TokenizerFileTest, AnOrdinaryTokenMayBeAddedToo) {
  file["added_tokens"].push_back({{"id", 257}, {"content", "the"}, {"special", false}});
  EXPECT_EQ(load().encode("the x"), (std::vector<int32_t>{257, 220, 87}));
}

// The ids that Hugging Face's tokenizers 0.23 gives to such lists.
TEST_F(TokenizerFileTest, AddedTokensHaveTheIdsThatTheReferenceGivesThem) {
  const auto added = [](int id, const char* content, bool special) {
    return json{{"id", id}, {"content", content}, {"special", special}};
  };
  const auto makes_it = [](const std::string& token, int written, int made) {
    return "added_tokens: \"" + token + "\" has id " + std::to_string(written) +
           ", but Hugging Face's tokenizers makes it " + std::to_string(made) + ", the next behind the vocabulary; ";
  };
  const json end = file["added_tokens"][0];
  file["added_tokens"] = {end, added(270, "foo", false)};
  expect_contains(error(), makes_it("foo", 270, 259));
  file["added_tokens"] = {added(259, "foo", false), end};
  expect_contains(error(), makes_it("foo", 259, 258));
  file["added_tokens"] = {added(256, "he", false), added(258, "foo", false), added(259, "<s>", true),
                          added(257, "the", false), added(260, "bar", false)};
  EXPECT_EQ(load().encode("foobar"), (std::vector<int32_t>{258, 260}));
  file["model"]["vocab"]["th"] = 300;  // the number of entries counts, not the highest id
  expect_contains(error(), makes_it("foo", 258, 259));
  file["added_tokens"] = {added(300, "th", false), added(259, "foo", false)};
  EXPECT_EQ(load().encode("foothe"), (std::vector<int32_t>{259, 300, 68}));
}

// As in Hugging Face's tokenizers 0.23.
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

TEST_F(TokenizerFileTest, SaysWhatTheReferenceImplementationReads) {
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

TEST_F(TokenizerFileTest, DoesNotSaveTwoTokensOfOneName) {
  Vocabulary vocabulary = load().vocabulary();
  vocabulary.tokens.push_back("é");  // is how byte 0xE9 is written
  vocabulary.added.push_back({259, false});
  expect_contains(error_of([&] { save_tokenizer(Tokenizer(std::move(vocabulary)), path); }),
                  "cannot hold two tokens written \"é\"");
}

TEST_F(TokenizerFileTest, MissingFile) {
  expect_contains(error_of([&] { load_tokenizer(path); }), path.string() + ": no such file or folder");
  expect_contains(error_of([&] { load_tokenizer(folder / "vocab.json"); }), "no such file");
  write_text_file(folder / "vocab.json", "{}");
  expect_contains(error_of([&] { load_tokenizer(folder / "vocab.json"); }),
                  (folder / "merges.txt").string() + ": missing; GPT-2's tokenizer is vocab.json and merges.txt");
  write_text_file(folder / "x.bin", "");
  expect_contains(error_of([&] { load_tokenizer(folder / "x.bin"); }), "x.bin: unknown kind of file; a tokenizer is");
}

TEST_F(TokenizerFileTest, OnlyRankFilesNeedAPattern) {
  load();
  expect_contains(error_of([&] { load_tokenizer(path, {.pattern = SplitPattern::qwen2}); }),
                  "--pattern qwen2 is for rank files only");
}

TEST_F(TokenizerFileTest, NotJson) {
  write_text_file(path, "{\"model\": }");
  expect_contains(error_of([&] { load_tokenizer(path); }), path.string() + ": byte 11: not valid JSON");
  write_text_file(path, "");
  expect_contains(error_of([&] { load_tokenizer(path); }), "not valid JSON");
  write_text_file(path, "[1]");
  expect_contains(error_of([&] { load_tokenizer(path); }), "expected a JSON object");
}

TEST_F(TokenizerFileTest, RefusesWhatItCannotRepresent) {
  const struct {
    const char* pointer;
    json value;
    const char* complaint;
  } cases[] = {
      {"/normalizer", {{"type", "NFKC"}}, "normalizer: \"NFKC\" is not supported; it must be null or NFC"},
      {"/normalizer",
       {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "Lowercase"}}}}},
       "normalizer.normalizers[1]: \"Lowercase\" is not supported"},
      {"/normalizer", {{"type", "Sequence"}}, "normalizer.normalizers: expected an array"},
      {"/truncation", {{"max_length", 512}}, "truncation: not supported"},
      {"/padding", {{"strategy", "Fixed"}}, "padding: not supported"},
      {"/pre_tokenizer", {{"type", "Whitespace"}}, "pre_tokenizer: \"Whitespace\" is not supported"},
      {"/pre_tokenizer", nullptr, "pre_tokenizer: none is not supported"},
      {"/pre_tokenizer", 7, "pre_tokenizer: 7 is not supported"},
      {"/pre_tokenizer", json::array(), "pre_tokenizer: an array is not supported"},
      {"/pre_tokenizer/add_prefix_space", true, "pre_tokenizer.add_prefix_space: true is not supported"},
      {"/pre_tokenizer/use_regex", false, "pre_tokenizer.use_regex: false is not supported; it must be true"},
      {"/pre_tokenizer/use_regex", 1, "pre_tokenizer.use_regex: 1 is not supported"},
      {"/post_processor", {{"type", "Strange"}}, "post_processor: \"Strange\" is not supported"},
      {"/decoder", {{"type", "WordPiece"}}, "decoder: \"WordPiece\" is not supported"},
      {"/decoder", {{"type", "Sequence"}, {"decoders", {{{"type", "Fuse"}}}}}, "decoder.decoders[0]: \"Fuse\" is not"},
      {"/model/type", "Unigram", "model.type: \"Unigram\" is not supported; it must be \"BPE\""},
      {"/model/dropout", 0.1, "model.dropout: 0.1 is not supported"},
      {"/model/continuing_subword_prefix", "##", "model.continuing_subword_prefix: \"##\" is not supported"},
      {"/model/end_of_word_suffix", "</w>", "model.end_of_word_suffix: \"</w>\" is not supported"},
      {"/model/byte_fallback", true, "model.byte_fallback: true is not supported"},
      {"/model/ignore_merges", 2, "model.ignore_merges: 2 is not supported"},
  };
  const json sound = file;
  for (const auto& item : cases) {
    file = sound;
    file[json::json_pointer(item.pointer)] = item.value;
    expect_contains(error(), item.complaint);
  }
}

TEST_F(TokenizerFileTest, RefusesOtherSplits) {
  const struct {
    const char* pointer;
    json value;
    const char* complaint;
  } cases[] = {
      {"/0", {{"type", "Digits"}}, "pretokenizers[0]: \"Digits\" is not supported; ByteLevel may have a Split"},
      {"/0/behavior", "Removed", "pretokenizers[0].behavior: \"Removed\" is not supported; it must be \"Isolated\""},
      {"/0/pattern", {{"String", " "}}, "pretokenizers[0].pattern: expected an object with a \"Regex\""},
      {"/0/pattern/Regex", "\\s+",
       "pattern.Regex: \"\\\\s+\" is not supported; only the regular expressions of gpt2, "},
      {"/0/pattern/Regex", std::string(1000, 'x') + "é", "xxx...\" is not supported"},
      // tiktoken's cl100k, which Hugging Face's engine reads as \\p{N}+
      {"/0/pattern/Regex",
       R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n])"
       R"(|\s+(?!\S)|\s)",
       "is not supported"},
      {"/1/use_regex", true, "pretokenizers[1].use_regex: true is not supported; it must be false behind a Split"},
      {"/1/add_prefix_space", true, "pretokenizers[1].add_prefix_space: true is not supported"},
      {"/1", {{"type", "Metaspace"}}, "pretokenizers[1]: \"Metaspace\" is not supported; it must be ByteLevel"},
      {"/2", {{"type", "ByteLevel"}}, "pre_tokenizer: a longer Sequence is not supported"},
  };
  for (const auto& item : cases) {
    file["pre_tokenizer"] = split_by(regex_of(SplitPattern::llama3));
    file["pre_tokenizer"]["pretokenizers"][json::json_pointer(item.pointer)] = item.value;
    expect_contains(error(), item.complaint);
  }
}

TEST_F(TokenizerFileTest, RefusesDamage) {
  const struct {
    const char* pointer;
    json value;
    const char* complaint;
  } cases[] = {
      {"/model", nullptr, "model: missing"},
      {"/model/vocab", json::array(), "model.vocab: expected an object"},
      {"/model/merges", json::object(), "model.merges: expected an array"},
      {"/model/merges/1", "the", "model.merges[1]: expected \"left right\""},
      {"/model/merges/1", 7, "model.merges[1]: expected \"left right\""},
      {"/model/merges/1", "t zz", "model.merges[1]: \"zz\" is not in the vocabulary"},
      {"/model/merges/1", "e t", "model.merges[1]: \"et\" is not in the vocabulary"},
      {"/model/vocab/the", 256, "id 256 is given twice"},
      {"/model/vocab/the", -1, "model.vocab[\"the\"]: -1 is not a token id"},
      {"/model/vocab/the", 1e9, "model.vocab[\"the\"]: 1000000000.0 is not a token id"},
      {"/model/vocab/the", 4194304, "model.vocab[\"the\"]: 4194304 is not a token id"},
      {"/model/vocab/the", "257", "is not a token id"},
      {"/model/vocab/t e", 290, "model.vocab[\"t e\"]: not made of GPT-2's byte names"},
      {"/model/vocab/", 290, "model.vocab[\"\"]: not made of GPT-2's byte names"},
      {"/added_tokens", 5, "added_tokens: expected an array"},
      {"/added_tokens/0", 5, "added_tokens[0]: expected an object"},
      {"/added_tokens/0/content", "", "added_tokens[0].content: expected a string"},
      {"/added_tokens/0/id", nullptr, "added_tokens[0].id: null is not a token id"},
      {"/added_tokens/0/id", 7, "id 7 is given twice"},
      {"/added_tokens/0/content", "he", "\"he\" has id 258, but in the vocabulary it is 256"},
      {"/added_tokens/1", {{"id", 258}, {"content", "x y"}}, "added_tokens[1].id: id 258 is given twice"},
      {"/added_tokens/1", {{"id", 259}, {"content", "<|endoftext|>"}}, "has two ids, 258 and 259"},
      {"/added_tokens/1", {{"id", 257}, {"content", "the"}, {"special", true}}, "\"the\" is a special token"},
      {"/model/merges/1", {"t", 5}, "model.merges[1]: expected \"left right\""},
      {"/added_tokens/1", {{"id", 300}, {"content", "x y"}, {"lstrip", true}}, "added_tokens[1].lstrip: true is not"},
  };
  const json sound = file;
  for (const auto& item : cases) {
    file = sound;
    file[json::json_pointer(item.pointer)] = item.value;
    expect_contains(error(), item.complaint);
  }
  file = sound;
  file["model"]["vocab"]["<|endoftext|>"] = 258;
  file["model"]["vocab"]["xé"] = 259;  // the bytes x and 0xE9 by name, but the token is x and é
  file["added_tokens"].push_back({{"id", 259}, {"content", "xé"}});
  file["model"]["merges"].push_back("x é");
  expect_contains(error(), "model.merges[2]: \"x\" and \"é\" do not make \"xé\": one is an added token");
  file = sound;
  file["model"]["vocab"].erase("Ġ");
  file["model"]["vocab"]["zz"] = 220;
  expect_contains(error(), "model.vocab: no token for byte 32 (\"Ġ\")");
}

TEST_F(TokenizerFileTest, ATokenTwiceIsRefused) {
  const std::string sound = file.dump();
  const std::string entry = "\"the\":257";
  const size_t at = sound.find(entry);
  ASSERT_NE(at, std::string::npos);
  write_text_file(path, sound.substr(0, at) + entry + ",\"the\":300" + sound.substr(at + entry.size()));
  expect_contains(error_of([&] { load_tokenizer(path); }), "model.vocab[\"the\"]: given twice");
}

TEST_F(TokenizerFileTest, DepthIsHarmless) {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens", "model"}) {
    json rest = file;
    rest.erase(key);
    write_text_file(path, "{\"" + std::string(key) + "\":" + deep + "," + rest.dump().substr(1));
    expect_contains(error_of([&] { load_tokenizer(path); }), key);
  }
}

TEST_F(TokenizerFileTest, DamagedPairs) {
  const auto error_with = [&](const json& vocab, const std::string& merges) {
    write_text_file(folder / "vocab.json", vocab.dump());
    write_text_file(folder / "merges.txt", merges);
    return error_of([&] { load_tokenizer(folder.path() / "vocab.json"); });
  };
  const json vocab = file["model"]["vocab"];
  const std::string vocab_name = (folder / "vocab.json").string(), merges_name = (folder / "merges.txt").string();
  EXPECT_EQ(error_with(vocab, "#version: 0.2\r\nh e\r\nt he\r\n"), "no error");
  EXPECT_EQ(error_with(vocab, "h e\n#version: 0.2\n"),
            merges_name + ": line 2: \"#version:\" is not in the vocabulary");
  expect_contains(error_with(vocab, "#version: 0.2\nt h\n"), merges_name + ": line 2: \"th\" is not in");
  for (const char* line : {"h", "h ", " e", "h e t", "h  e"})
    expect_contains(error_with(vocab, "#version: 0.2\nh e\n" + std::string(line) + "\n"),
                    merges_name + ": line 3: expected a merge, two tokens with a space between them; found \"");
  expect_contains(error_with(file, ""), vocab_name + ": \"added_tokens\": this is not a token id");
  json broken = vocab;
  broken["he"] = 1.5;
  EXPECT_EQ(error_with(broken, ""), vocab_name + ": \"he\": 1.5 is not a token id (an integer from 0 to 4194303)");
  broken = vocab;
  broken.erase("a");
  expect_contains(error_with(broken, ""), vocab_name + ": no token for byte 97");
  for (const char* line : {"h e</w>", "e </w>"})
    expect_contains(error_with(vocab, "h e\n" + std::string(line) + "\n"),
                    merges_name + ": line 2: merges to ends of words, \"</w>\", are not supported");
  broken = vocab;
  broken["<|endoftext|>"] = 5;
  expect_contains(error_with(broken, ""), vocab_name + ": id 5 is given twice");
}

// Others' pairs look the same, but their text is split or normalized otherwise.
TEST_F(TokenizerFileTest, PairsMustBeGpt2s) {
  write_text_file(folder / "vocab.json", file["model"]["vocab"].dump());
  write_text_file(folder / "merges.txt", "h e\nt he\n");
  const std::string name = (folder / "tokenizer_config.json").string() + ": ";
  const auto error_with = [&](const json& config) {
    write_text_file(folder / "tokenizer_config.json", config.dump());
    return error_of([&] { load_tokenizer(folder.path()); });
  };
  for (const char* known : {"GPT2Tokenizer", "GPT2TokenizerFast"})
    EXPECT_EQ(error_with({{"tokenizer_class", known}, {"add_prefix_space", false}}), "no error");
  EXPECT_EQ(error_with({{"model_max_length", 1024}}), "no error");
  EXPECT_EQ(error_with({{"tokenizer_class", "Qwen2Tokenizer"}}),
            name +
                "tokenizer_class: \"Qwen2Tokenizer\" is not supported; vocab.json and merges.txt are read as "
                "GPT-2's, use a tokenizer.json");
  expect_contains(error_with({{"tokenizer_class", 7}}), name + "tokenizer_class: 7 is not supported");
  expect_contains(error_with({{"add_prefix_space", true}}), name + "add_prefix_space: true is not supported");
  expect_contains(error_with(json::array()), name + "expected a JSON object");
}

}  // namespace
}  // namespace gptmoe
