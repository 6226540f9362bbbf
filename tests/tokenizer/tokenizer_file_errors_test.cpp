// Tokenizer files that are refused, and the error messages.
#include "tokenizer/text_pipeline.h"
#include "tokenizer/tokenizer_file.h"
#include "tokenizer/tokenizer_file_fixture.h"

namespace gptmoe {
namespace {

using nlohmann::json;

using TokenizerFileErrors = TokenizerFileTest;

TEST_F(TokenizerFileErrors, MissingFile) {
  expect_contains(error_of([&] { load_tokenizer(path); }), path.string() + ": no such file or folder");
  expect_contains(error_of([&] { load_tokenizer(folder / "vocab.json"); }), "no such file");
  write_text_file(folder / "vocab.json", "{}");
  expect_contains(error_of([&] { load_tokenizer(folder / "vocab.json"); }),
                  (folder / "merges.txt").string() + ": missing; GPT-2's tokenizer needs vocab.json and merges.txt");
  write_text_file(folder / "x.bin", "");
  expect_contains(error_of([&] { load_tokenizer(folder / "x.bin"); }),
                  "x.bin: unknown kind of file; give a tokenizer.json");
}

TEST_F(TokenizerFileErrors, OnlyRankFilesNeedAPattern) {
  load();
  expect_contains(error_of([&] { load_tokenizer(path, {.pattern = SplitPattern::qwen2}); }),
                  "--pattern qwen2 is for rank files only");
}

TEST_F(TokenizerFileErrors, NotJson) {
  write_text_file(path, "{\"model\": }");
  expect_contains(error_of([&] { load_tokenizer(path); }), path.string() + ":1:11: syntax error");
  write_text_file(path, "");
  expect_contains(error_of([&] { load_tokenizer(path); }), path.string() + ":1:1: syntax error");
  write_text_file(path, "[1]");
  expect_contains(error_of([&] { load_tokenizer(path); }), "expected a JSON object");
}

TEST_F(TokenizerFileErrors, RefusesWhatItCannotRepresent) {
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

TEST_F(TokenizerFileErrors, RefusesOtherSplits) {
  const struct {
    const char* pointer;
    json value;
    const char* complaint;
  } cases[] = {
      {"/0", {{"type", "Digits"}}, "pretokenizers[0]: \"Digits\" is not supported; only a Split may precede ByteLevel"},
      {"/0/behavior", "Removed", "pretokenizers[0].behavior: \"Removed\" is not supported; it must be \"Isolated\""},
      {"/0/pattern", {{"String", " "}}, "pretokenizers[0].pattern: expected an object with a \"Regex\""},
      {"/0/pattern/Regex", "\\s+",
       "pattern.Regex: \"\\\\s+\" is not supported; it must be the regular expression of gpt2, "},
      {"/0/pattern/Regex", std::string(1000, 'x') + "é", "xxx...\" is not supported"},
      // tiktoken's cl100k; Hugging Face's engine reads its \\p{N}{1,3}+ as \\p{N}+
      {"/0/pattern/Regex",
       R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n])"
       R"(|\s+(?!\S)|\s)",
       "is not supported"},
      {"/1/use_regex", true, "pretokenizers[1].use_regex: true is not supported; it must be false after a Split"},
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

TEST_F(TokenizerFileErrors, RefusesDamage) {
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
      {"/added_tokens/0/content", "", "added_tokens[0].content: expected a non-empty string"},
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
  file["model"]["vocab"]["xé"] = 259;  // as byte names: the bytes x and 0xE9; as an added token: the text "xé"
  file["added_tokens"].push_back({{"id", 259}, {"content", "xé"}});
  file["model"]["merges"].push_back("x é");
  expect_contains(error(), "model.merges[2]: \"x\" and \"é\" do not give \"xé\": one is an added token");
  file = sound;
  file["model"]["vocab"].erase("Ġ");
  file["model"]["vocab"]["zz"] = 220;
  expect_contains(error(), "model.vocab: no token for byte 32 (\"Ġ\")");
}

TEST_F(TokenizerFileErrors, ATokenGivenTwiceIsRefused) {
  const std::string sound = file.dump();
  const std::string entry = "\"the\":257";
  const size_t at = sound.find(entry);
  ASSERT_NE(at, std::string::npos);
  write_text_file(path, sound.substr(0, at) + entry + ",\"the\":300" + sound.substr(at + entry.size()));
  expect_contains(error_of([&] { load_tokenizer(path); }), "model.vocab.the: given twice");
}

TEST_F(TokenizerFileErrors, DeepNestingIsRefused) {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens", "model"}) {
    json rest = file;
    rest.erase(key);
    write_text_file(path, "{\"" + std::string(key) + "\":" + deep + "," + rest.dump().substr(1));
    expect_contains(error_of([&] { load_tokenizer(path); }), "nested deeper than 32 levels");
  }
}

TEST_F(TokenizerFileErrors, DamagedPairs) {
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
                    merges_name + ": line 3: expected a merge (two tokens separated by a space), found \"");
  expect_contains(error_with(file, ""), vocab_name + ": \"added_tokens\": this is not a token id");
  json broken = vocab;
  broken["he"] = 1.5;
  EXPECT_EQ(error_with(broken, ""), vocab_name + ": \"he\": 1.5 is not a token id (an integer from 0 to 4194303)");
  broken = vocab;
  broken.erase("a");
  expect_contains(error_with(broken, ""), vocab_name + ": no token for byte 97");
  for (const char* line : {"h e</w>", "e </w>"})
    expect_contains(error_with(vocab, "h e\n" + std::string(line) + "\n"),
                    merges_name + ": line 2: merges with end-of-word marks, \"</w>\", are not supported");
  broken = vocab;
  broken["<|endoftext|>"] = 5;
  expect_contains(error_with(broken, ""), vocab_name + ": id 5 is given twice");
}

TEST_F(TokenizerFileErrors, ALinkToNothingIsNoMissingTokenizer) {
  std::filesystem::create_symlink("gone", folder / "vocab.json");
  const std::string why = (folder / "vocab.json").string() +
                          ": cannot access it: it is a link to gone, which does not exist; make it readable or name "
                          "another tokenizer";
  EXPECT_EQ(error_of([&] { tokenizer_files(folder.path()); }), why);
  EXPECT_EQ(error_of([&] { load_tokenizer(folder.path()); }), why);
}

// Pairs of files from other tokenizers look the same, but need another split or normalization.
TEST_F(TokenizerFileErrors, PairsMustBelongToGpt2) {
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
                "tokenizer_class: \"Qwen2Tokenizer\" is not supported; vocab.json and merges.txt are only read "
                "as GPT-2's; use a tokenizer.json");
  expect_contains(error_with({{"tokenizer_class", 7}}), name + "tokenizer_class: 7 is not supported");
  expect_contains(error_with({{"add_prefix_space", true}}), name + "add_prefix_space: true is not supported");
  expect_contains(error_with(json::array()), name + "expected a JSON object");
}

}  // namespace
}  // namespace gptmoe
