#include "data/tokenizer_file.h"

#include <nlohmann/json.hpp>

#include "data/bpe_trainer.h"
#include "data/byte_alphabet.h"
#include "helpers.h"

namespace gptmoe {
namespace {

using nlohmann::json;

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

  Tokenizer load() {
    write_text_file(path, file.dump());
    return load_tokenizer(path);
  }
  // The complaint without the file's name, which it must start with.
  std::string error() {
    const std::string line = error_of([&] { load(); }), name = path.string() + ": ";
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
  EXPECT_EQ(load().end_of_text(), 258);
  file["model"]["vocab"].erase("<|endoftext|>");
  EXPECT_EQ(load().end_of_text(), std::nullopt);
}

TEST_F(TokenizerFileTest, UnusedIdsAreHoles) {
  file["added_tokens"][0]["id"] = 300;
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

TEST_F(TokenizerFileTest, SavedFilesLoadTheSame) {
  file["added_tokens"].push_back({{"id", 260}, {"content", "<tool é>"}, {"special", false}});
  const Tokenizer tokenizer = load();
  save_tokenizer(tokenizer, path);
  const Tokenizer again = load_tokenizer(path);
  EXPECT_EQ(again.vocabulary().tokens, tokenizer.vocabulary().tokens);
  ASSERT_EQ(again.vocabulary().merges.size(), 2u);
  EXPECT_EQ(again.vocabulary().merges[1].result, 257);
  ASSERT_EQ(again.vocabulary().added.size(), 2u);
  EXPECT_TRUE(again.vocabulary().added[0].special);
  EXPECT_FALSE(again.vocabulary().added[1].special);
}

TEST_F(TokenizerFileTest, SaysWhatTheReferenceImplementationReads) {
  BpeTrainer trainer;
  trainer.add("the the");
  save_tokenizer(trainer.train(258), path);
  const json saved = json::parse(read_text_file(path));
  EXPECT_EQ(saved["model"]["type"], "BPE");
  EXPECT_EQ(saved["model"]["vocab"].size(), 258u);
  EXPECT_EQ(saved["model"]["vocab"]["<|endoftext|>"], 257);
  EXPECT_EQ(saved["model"]["vocab"]["Ġ"], 220);
  EXPECT_EQ(saved["model"]["merges"], json::array({"h e"}));
  EXPECT_EQ(saved["added_tokens"][0]["id"], 257);
  EXPECT_EQ(saved["added_tokens"][0]["special"], true);
  EXPECT_EQ(saved["pre_tokenizer"]["type"], "ByteLevel");
  EXPECT_EQ(saved["pre_tokenizer"]["add_prefix_space"], false);
  EXPECT_EQ(saved["decoder"]["type"], "ByteLevel");
}

TEST_F(TokenizerFileTest, MissingFile) {
  expect_contains(error_of([&] { load_tokenizer(path); }), path.string() + ": cannot open: No such file");
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
      {"/normalizer", {{"type", "NFC"}}, "normalizer: \"NFC\" is not supported; it must be null"},
      {"/truncation", {{"max_length", 512}}, "truncation: {\"max_length\":512} is not supported"},
      {"/padding", {{"strategy", "Fixed"}}, "padding: "},
      {"/pre_tokenizer", {{"type", "Whitespace"}}, "pre_tokenizer: \"Whitespace\" is not supported"},
      {"/pre_tokenizer", nullptr, "pre_tokenizer: null is not supported"},
      {"/pre_tokenizer/add_prefix_space", true, "pre_tokenizer.add_prefix_space: true is not supported"},
      {"/pre_tokenizer/use_regex", false, "pre_tokenizer.use_regex: false is not supported"},
      {"/post_processor", {{"type", "TemplateProcessing"}}, "post_processor: \"TemplateProcessing\" is not supported"},
      {"/decoder", {{"type", "WordPiece"}}, "decoder: \"WordPiece\" is not supported"},
      {"/model/type", "Unigram", "model.type: \"Unigram\" is not supported; it must be \"BPE\""},
      {"/model/dropout", 0.1, "model.dropout: 0.1 is not supported"},
      {"/model/continuing_subword_prefix", "##", "model.continuing_subword_prefix: \"##\" is not supported"},
      {"/model/end_of_word_suffix", "</w>", "model.end_of_word_suffix: \"</w>\" is not supported"},
      {"/model/byte_fallback", true, "model.byte_fallback: true is not supported"},
      {"/model/ignore_merges", true, "model.ignore_merges: true is not supported"},
  };
  const json sound = file;
  for (const auto& item : cases) {
    file = sound;
    file[json::json_pointer(item.pointer)] = item.value;
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
      {"/model/merges/1", "t zz", "model.merges[1]: \"zz\" is not in model.vocab"},
      {"/model/merges/1", "e t", "model.merges[1]: \"et\" is not in model.vocab"},
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
      {"/added_tokens/0/content", "he", "\"he\" has id 258, but model.vocab gives it 256"},
      {"/added_tokens/1", {{"id", 258}, {"content", "x y"}}, "added_tokens[1].id: 258 is given twice"},
      {"/added_tokens/1", {{"id", 300}, {"content", "x y"}, {"lstrip", true}}, "added_tokens[1].lstrip: true is not"},
  };
  const json sound = file;
  for (const auto& item : cases) {
    file = sound;
    file[json::json_pointer(item.pointer)] = item.value;
    expect_contains(error(), item.complaint);
  }
  file = sound;
  file["model"]["vocab"].erase("Ġ");
  expect_contains(error(), "model.vocab: no token for byte 32 (\"Ġ\")");
}

}  // namespace
}  // namespace gptmoe
