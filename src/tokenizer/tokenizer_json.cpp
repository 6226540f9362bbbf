#include "tokenizer/tokenizer_json.h"

#include "tokenizer/json_source.h"
#include "tokenizer/text_pipeline.h"
#include "tokenizer/vocabulary_builder.h"

namespace gptmoe {
namespace {

class ModelReader {
 public:
  explicit ModelReader(const JsonSource& source)
      : source_(source),
        model_(JsonSource::get(source.root(), "model")),
        pipeline_(checked_pipeline()),
        builder_(pipeline_.nfc) {}

  Vocabulary read() {
    read_added();
    read_vocab();
    read_merges();
    Vocabulary out = builder_.take();
    out.whole_words = JsonSource::get(model_, "ignore_merges") == true;
    out.pattern = pipeline_.pattern;
    return out;
  }

 private:
  TextPipeline checked_pipeline() const {
    check_options();
    return read_text_pipeline(source_);
  }

  void check_options() const {
    if (!model_.is_object()) source_.fail("model", "missing; expected a Hugging Face tokenizer.json with a BPE model");
    const Json& type = JsonSource::get(model_, "type");  // GPT-2's own file is older than this field
    if (!type.is_null() && type != "BPE") source_.unsupported("model.type", type, "it must be \"BPE\" (byte-level)");
    for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"}) {
      const Json& value = JsonSource::get(model_, key);
      const bool off = value.is_null() || value == false || value == "" || value == 0.0;
      if (!off) source_.unsupported(std::string("model.") + key, value, "it must be off");
    }
    const Json& whole_words = JsonSource::get(model_, "ignore_merges");
    if (!whole_words.is_null() && !whole_words.is_boolean())
      source_.unsupported("model.ignore_merges", whole_words, "it must be true or false");
  }

  void read_added() {
    const Json& list = JsonSource::get(source_.root(), "added_tokens");
    if (!list.is_null() && !list.is_array()) source_.fail("added_tokens", "expected an array");
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string where = text("added_tokens[", i, "]");
      const Json& entry = list[i];
      if (!entry.is_object()) source_.fail(where, "expected an object");
      const Json& content = JsonSource::get(entry, "content");
      if (!content.is_string() || content == "") source_.fail(where + ".content", "expected a non-empty string");
      const bool special = JsonSource::get(entry, "special") == true;
      for (const char* key : {"single_word", "lstrip", "rstrip"})
        if (!special && JsonSource::get(entry, key) == true)
          source_.unsupported(where + "." + key, true, "it must be false");
      source_.at([&] { return where + ".id"; },
                 [&] {
                   builder_.add_added(content.get_ref<const std::string&>(), JsonSource::get(entry, "id"), special,
                                      JsonSource::get(entry, "normalized") == true);
                 });
    }
  }

  void read_vocab() {
    const Json& vocab = JsonSource::get(model_, "vocab");
    if (!vocab.is_object()) source_.fail("model.vocab", "expected an object of token to id");
    for (const auto& entry : vocab.get_ref<const Json::object_t&>())
      source_.at([&] { return "model.vocab[" + in_quotes(entry.first) + "]"; },
                 [&] { builder_.add_token(entry.first, entry.second); });
    source_.at([] { return "added_tokens"; }, [&] { builder_.place_added(); });
    source_.at([] { return "model.vocab"; }, [&] { builder_.check_bytes(); });
  }

  // A merge is "left right" in older files, ["left", "right"] in newer ones.
  void read_merges() {
    const Json& list = JsonSource::get(model_, "merges");
    if (!list.is_array()) source_.fail("model.merges", "expected an array of pairs");
    for (const Json& merge : list) {
      std::string_view left, right;
      if (merge.is_string()) {
        const std::string_view pair = merge.get_ref<const std::string&>();
        const size_t space = pair.find(' ');
        left = pair.substr(0, space);
        right = space == pair.npos ? "" : pair.substr(space + 1);
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        left = merge[0].get_ref<const std::string&>();
        right = merge[1].get_ref<const std::string&>();
      }
      source_.at([&] { return text("model.merges[", &merge - &list[0], "]"); },
                 [&] {
                   if (left.empty() || right.empty()) user_error("expected \"left right\" or [\"left\", \"right\"]");
                   builder_.add_merge(left, right);
                 });
    }
  }

  const JsonSource& source_;
  const Json& model_;
  const TextPipeline pipeline_;
  VocabularyBuilder builder_;
};

}  // namespace

Vocabulary read_tokenizer_json(const std::filesystem::path& path) {
  const JsonSource source(path);
  return ModelReader(source).read();
}

}  // namespace gptmoe
