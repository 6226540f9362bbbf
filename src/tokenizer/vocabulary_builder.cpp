#include "tokenizer/vocabulary_builder.h"

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/nfc.h"
#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

int32_t token_id(const Json& value) {
  if (!value.is_number_integer() || value < 0 || value >= kMaxVocabSize)
    user_error(value.is_structured() ? "this" : value.dump(), " is not a token id (an integer from 0 to ",
               kMaxVocabSize - 1, ")");
  return value.get<int32_t>();
}

}  // namespace

void VocabularyBuilder::add_added(const std::string& content, const Json& id_value, bool special, bool normalized) {
  const int32_t id = token_id(id_value);
  if (!added_.emplace(id, Added{content, special}).second) user_error("id ", id, " is given twice");
  out_.added.push_back({id, special, normalized});
}

void VocabularyBuilder::add_token(std::string_view name, const Json& id_value) {
  const int32_t id = token_id(id_value);
  if (!ids_.emplace(name, id).second) user_error("given twice");
  const auto added = added_.find(id);
  if (added != added_.end() && added->second.content == name) return;
  auto bytes = from_byte_names(name);
  if (!bytes || bytes->empty()) user_error("not made of GPT-2's byte names; only byte-level BPE is supported");
  place(id, std::move(*bytes));
}

void VocabularyBuilder::place(int32_t id, std::string bytes) {
  if (id >= std::ssize(out_.tokens)) out_.tokens.resize(static_cast<size_t>(id) + 1);
  std::string& slot = out_.tokens[static_cast<size_t>(id)];
  if (!slot.empty()) user_error("id ", id, " is given twice");
  slot = std::move(bytes);
}

void VocabularyBuilder::place_added() {
  std::map<std::string, int32_t> seen;
  auto next_id = static_cast<int32_t>(ids_.size());
  for (const AddedToken& token : out_.added) {
    const std::string& content = added_.at(token.id).content;
    const auto in_vocab = ids_.find(content);
    if (in_vocab != ids_.end() && in_vocab->second != token.id)
      user_error(in_quotes(content), " has id ", token.id, ", but in the vocabulary it is ", in_vocab->second);
    std::string bytes = out_.nfc && token.normalized ? to_nfc(content) : content;
    if (const auto [first, is_new] = seen.emplace(bytes, token.id); !is_new)
      user_error(in_quotes(content), " has two ids, ", first->second, " and ", token.id);
    place(token.id, std::move(bytes));
    if (in_vocab == ids_.end() && token.id != next_id++)
      user_error(
          in_quotes(content), " has id ", token.id, ", but Hugging Face's tokenizers library gives it ", next_id - 1,
          ", the next after the vocabulary; load and save the file with that library, which writes the ids that it "
          "uses, or put the token into model.vocab with the wanted id");
  }
}

void VocabularyBuilder::check_bytes() const {
  for (int byte = 0; byte < 256; ++byte) {
    if (!may_be_utf8(static_cast<unsigned char>(byte))) continue;
    const std::string name = to_byte_names(std::string(1, static_cast<char>(byte)));
    const auto entry = ids_.find(name);
    if (entry == ids_.end() || added_.contains(entry->second))
      user_error("no token for byte ", byte, " (", in_quotes(name),
                 "), so text with it could not be encoded; use a tokenizer whose alphabet has every byte of UTF-8");
  }
}

int32_t VocabularyBuilder::find(std::string_view name) const {
  const auto entry = ids_.find(name);
  if (entry == ids_.end()) user_error(in_quotes(name), " is not in the vocabulary");
  return entry->second;
}

void VocabularyBuilder::add_merge(std::string_view left, std::string_view right) {
  result_.assign(left).append(right);
  const Merge merge{find(left), find(right), find(result_), static_cast<int32_t>(out_.merges.size())};
  // The lengths add up unless one of the three is an added token, whose name is its text.
  if (length(merge.left) + length(merge.right) != length(merge.result))
    user_error(in_quotes(left), " and ", in_quotes(right), " do not give ", in_quotes(result_),
               ": one is an added token");
  if (const auto added = added_.find(merge.result); added != added_.end() && added->second.special)
    user_error(in_quotes(result_), " is a special token; text must not become one");
  out_.merges.push_back(merge);
}

}  // namespace gptmoe
