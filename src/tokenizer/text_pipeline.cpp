#include "tokenizer/text_pipeline.h"

#include <vector>

namespace gptmoe {
namespace {

struct Spelling {
  std::string_view regex;
  SplitPattern pattern;
};

// For each of our patterns, the regular expressions that make Hugging Face's tokenizers library split in the same
// way. save_tokenizer() writes the first one of each pattern. The library's engine is Oniguruma. tiktoken's newer form
// of cl100k is not among them: it has \p{N}{1,3}+, which Oniguruma reads as any number of digits.
constexpr Spelling kSpellings[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", SplitPattern::gpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", SplitPattern::gpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)", SplitPattern::gpt2},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
     R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
     SplitPattern::llama3},
    {R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*)"
     R"(|\s*[\r\n]|\s+(?!\S)|\s+)",
     SplitPattern::llama3},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
     R"(|\s++$|\s*[\r\n]+|\s+(?!\S)|\s+)",
     SplitPattern::cl100k},
    {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
     R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
     SplitPattern::qwen2},
};

struct Part {
  std::string where;
  const Json& value;
};

class PipelineReader {
 public:
  explicit PipelineReader(const JsonSource& source) : source_(source) {}

  TextPipeline read() const {
    for (const char* key : {"truncation", "padding"})
      if (const Json& value = JsonSource::get(source_.root(), key); !value.is_null())
        source_.fail<UnsupportedTokenizer>(key, "not supported, since documents are encoded whole; it must be null");
    for (const Part& part : parts("post_processor", "processors"))
      if (!has_type(part, {"ByteLevel", "TemplateProcessing", "BertProcessing", "RobertaProcessing"}))
        source_.unsupported(part.where, part.value, "it must be null, ByteLevel or TemplateProcessing");
    for (const Part& part : parts("decoder", "decoders"))
      if (!has_type(part, {"ByteLevel"}))
        source_.unsupported(part.where, part.value, "it must be null or ByteLevel (byte-level BPE)");
    return {read_pattern(), read_nfc()};
  }

 private:
  // The parts of root[key]: none if it is null, the items of its list if it is a Sequence, else the value itself.
  std::vector<Part> parts(const char* key, const char* list_key) const {
    const Json& value = JsonSource::get(source_.root(), key);
    if (value.is_null()) return {};
    if (JsonSource::get(value, "type") != "Sequence") return {{key, value}};
    const Json& list = JsonSource::get(value, list_key);
    const std::string where = text(key, ".", list_key);
    if (!list.is_array()) source_.fail(where, "expected an array");
    std::vector<Part> out;
    for (size_t i = 0; i < list.size(); ++i) out.push_back({text(where, "[", i, "]"), list[i]});
    return out;
  }

  static bool has_type(const Part& part, std::initializer_list<const char*> types) {
    for (const char* type : types)
      if (JsonSource::get(part.value, "type") == type) return true;
    return false;
  }

  bool read_nfc() const {
    bool nfc = false;
    for (const Part& part : parts("normalizer", "normalizers")) {
      if (!has_type(part, {"NFC"})) source_.unsupported(part.where, part.value, "it must be null or NFC");
      nfc = true;
    }
    return nfc;
  }

  SplitPattern read_pattern() const {
    const std::vector<Part> all = parts("pre_tokenizer", "pretokenizers");
    if (all.empty() || all.size() > 2)
      source_.fail<UnsupportedTokenizer>("pre_tokenizer", all.empty() ? "none" : "a longer Sequence",
                                         " is not supported; it must be ByteLevel, or Split and then ByteLevel");
    const bool has_split = all.size() == 2;
    const Part& byte_level = all.back();
    if (!has_type(byte_level, {"ByteLevel"}))
      source_.unsupported(byte_level.where, byte_level.value, "it must be ByteLevel (byte-level BPE)");
    if (const Json& prefix = JsonSource::get(byte_level.value, "add_prefix_space"); prefix != false)
      source_.unsupported(byte_level.where + ".add_prefix_space", prefix, "it must be false");
    const Json& use_regex = JsonSource::get(byte_level.value, "use_regex");
    static const Json yes = true;
    const bool splits = use_regex.is_null() || use_regex == true;  // older files do not have the option
    if (splits == has_split || (!splits && use_regex != false))
      source_.unsupported(byte_level.where + ".use_regex", splits ? yes : use_regex,
                          has_split ? "it must be false after a Split" : "it must be true");
    return has_split ? read_split(all.front()) : SplitPattern::gpt2;
  }

  SplitPattern read_split(const Part& split) const {
    if (!has_type(split, {"Split"}))
      source_.unsupported(split.where, split.value, "only a Split may precede ByteLevel");
    // The patterns match all of a text and leave no gaps. So Isolated, which keeps matches and gaps, gives the same
    // words as Removed with invert, which keeps the matches only.
    const Json& behavior = JsonSource::get(split.value, "behavior");
    const bool keeps_words =
        behavior == "Isolated" || (behavior == "Removed" && JsonSource::get(split.value, "invert") == true);
    if (!keeps_words) source_.unsupported(split.where + ".behavior", behavior, "it must be \"Isolated\"");
    const Json& regex = JsonSource::get(JsonSource::get(split.value, "pattern"), "Regex");
    if (!regex.is_string()) source_.fail(split.where + ".pattern", "expected an object with a \"Regex\"");
    for (const Spelling& spelling : kSpellings)
      if (regex == spelling.regex) return spelling.pattern;
    source_.unsupported(split.where + ".pattern.Regex", regex,
                        text("it must be the regular expression of ", split_pattern_names()));
  }

  const JsonSource& source_;
};

}  // namespace

TextPipeline read_text_pipeline(const JsonSource& source) { return PipelineReader(source).read(); }

std::string_view regex_of(SplitPattern pattern) {
  for (const Spelling& spelling : kSpellings)
    if (spelling.pattern == pattern) return spelling.regex;
  return {};
}

}  // namespace gptmoe
