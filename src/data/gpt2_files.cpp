#include "data/gpt2_files.h"

#include "data/json_source.h"
#include "data/text_lines.h"
#include "data/vocabulary_builder.h"

namespace gptmoe {
namespace {

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
  bool first = true;
  for_each_line(path, [&](std::string_view line) {
    const bool comment = std::exchange(first, false) && line.starts_with("#version");
    if (comment || line.empty()) return;
    const size_t space = line.find(' ');
    if (space == 0 || space >= line.size() - 1 || line.find(' ', space + 1) != line.npos)
      user_error("expected a merge, two tokens with a space between them; found ", in_quotes(line));
    builder.add_merge(line.substr(0, space), line.substr(space + 1));
  });
}

}  // namespace

Vocabulary read_gpt2_files(const std::filesystem::path& vocab_json, const std::filesystem::path& merges_txt) {
  const JsonSource vocab(vocab_json);
  VocabularyBuilder builder;
  read_vocab(vocab, builder);
  read_merges(merges_txt, builder);
  return builder.take();
}

}  // namespace gptmoe
