#include "tokenizer/gpt2_files.h"

#include "base/folder.h"
#include "tokenizer/json_source.h"
#include "tokenizer/text_lines.h"
#include "tokenizer/vocabulary_builder.h"

namespace gptmoe {
namespace {

constexpr std::string_view kRemedy = "vocab.json and merges.txt are only read as GPT-2's; use a tokenizer.json";

// Checks the options that the pair of files lacks; Hugging Face's library keeps them in tokenizer_config.json.
void check_config(const std::filesystem::path& path) {
  if (!anything_at(path)) return;
  const JsonSource config(path);
  const Json& name = JsonSource::get(config.root(), "tokenizer_class");
  if (!name.is_null() && name != "GPT2Tokenizer" && name != "GPT2TokenizerFast")
    config.unsupported("tokenizer_class", name, kRemedy);
  const Json& prefix_space = JsonSource::get(config.root(), "add_prefix_space");
  if (!prefix_space.is_null() && prefix_space != false)
    config.unsupported("add_prefix_space", prefix_space, "it must be false");
}

void read_vocab(const JsonSource& vocab, VocabularyBuilder& builder) {
  const std::string end_of_text(kEndOfText);
  if (const Json& id = JsonSource::get(vocab.root(), end_of_text.c_str()); !id.is_null())
    vocab.at([&] { return in_quotes(end_of_text); }, [&] { builder.add_added(end_of_text, id, true, false); });
  for (const auto& entry : vocab.root().get_ref<const Json::object_t&>())
    vocab.at([&] { return in_quotes(entry.first); }, [&] { builder.add_token(entry.first, entry.second); });
  vocab.at([] { return ""; },
           [&] {
             builder.place_added();
             builder.check_bytes();
           });
}

void read_merges(const std::filesystem::path& path, VocabularyBuilder& builder) {
  for_each_line(path, [&](std::string_view line, int64_t number) {
    const bool comment = number == 1 && line.starts_with("#version");
    if (comment || line.empty()) return;
    if (line.ends_with("</w>"))
      throw UnsupportedTokenizer(text("merges with end-of-word marks, \"</w>\", are not supported (BPE of CLIP and ",
                                      "others); ", kRemedy, " of byte-level BPE"));
    const size_t space = line.find(' ');
    if (space == 0 || space >= line.size() - 1 || line.find(' ', space + 1) != line.npos)
      user_error("expected a merge (two tokens separated by a space), found ", in_quotes(line));
    builder.add_merge(line.substr(0, space), line.substr(space + 1));
  });
}

}  // namespace

Vocabulary read_gpt2_files(const std::filesystem::path& vocab_json, const std::filesystem::path& merges_txt) {
  check_config(vocab_json.parent_path() / "tokenizer_config.json");
  const JsonSource vocab(vocab_json);
  VocabularyBuilder builder;
  read_vocab(vocab, builder);
  read_merges(merges_txt, builder);
  return builder.take();
}

}  // namespace gptmoe
