// Writes tokenizers as Hugging Face's tokenizer.json.
#include <unordered_set>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/json_source.h"
#include "tokenizer/own_ranks.h"
#include "tokenizer/text_pipeline.h"
#include "tokenizer/tokenizer_file.h"

namespace gptmoe {
namespace {

using nlohmann::ordered_json;

// The name of each id (V): an added token's text, or the byte names of any other token.
std::vector<std::string> names_of(const Vocabulary& vocabulary) {
  std::vector<std::string> names;
  for (const std::string& token : vocabulary.tokens) names.push_back(to_byte_names(token));
  for (const AddedToken& token : vocabulary.added)
    names[static_cast<size_t>(token.id)] = vocabulary.tokens[static_cast<size_t>(token.id)];
  return names;
}

ordered_json added_tokens(const Vocabulary& vocabulary) {
  ordered_json list = ordered_json::array();
  for (const AddedToken& token : vocabulary.added)
    list.push_back({{"id", token.id},
                    {"content", vocabulary.tokens[static_cast<size_t>(token.id)]},
                    {"single_word", false},
                    {"lstrip", false},
                    {"rstrip", false},
                    {"normalized", token.normalized},
                    {"special", token.special}});
  return list;
}

ordered_json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

ordered_json pre_tokenizer(SplitPattern pattern) {
  if (pattern == SplitPattern::gpt2) return byte_level(true);
  const ordered_json split = {
      {"type", "Split"}, {"pattern", {{"Regex", regex_of(pattern)}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", {split, byte_level(false)}}};
}

ordered_json model(const Vocabulary& vocabulary, const std::filesystem::path& path) {
  const std::vector<std::string> names = names_of(vocabulary);
  // Entries are appended to the underlying vector: inserting by key would search all earlier ones each time.
  ordered_json vocab = ordered_json::object();
  std::unordered_set<std::string_view> seen;
  for (size_t id = 0; id < names.size(); ++id) {
    if (names[id].empty()) continue;
    // The text of an added token may be the name of other bytes ("é" names the byte 0xE9).
    if (!seen.insert(names[id]).second)
      user_error(path.string(), ": tokenizer.json cannot hold two tokens written ", in_quotes(names[id]));
    vocab.get_ref<ordered_json::object_t&>().emplace_back(names[id], id);
  }
  ordered_json merges = ordered_json::array();
  for (const Merge& merge : merges_with_own_ranks(vocabulary))
    merges.push_back(names[static_cast<size_t>(merge.left)] + " " + names[static_cast<size_t>(merge.right)]);
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", vocabulary.whole_words},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

}  // namespace

void save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& path) {
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  const ordered_json file = {{"version", "1.0"},
                             {"truncation", nullptr},
                             {"padding", nullptr},
                             {"added_tokens", added_tokens(vocabulary)},
                             {"normalizer", vocabulary.nfc ? ordered_json{{"type", "NFC"}} : ordered_json(nullptr)},
                             {"pre_tokenizer", pre_tokenizer(vocabulary.pattern)},
                             {"post_processor", nullptr},
                             {"decoder", byte_level(true)},
                             {"model", model(vocabulary, path)}};
  write_text_file(path, file.dump(1) + "\n");
}

}  // namespace gptmoe
