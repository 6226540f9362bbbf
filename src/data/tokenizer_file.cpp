#include "data/tokenizer_file.h"

#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/check.h"
#include "base/file.h"
#include "data/byte_alphabet.h"

namespace gptmoe {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// One file being read. Every complaint names the file and the JSON path.
class FileReader {
 public:
  explicit FileReader(const std::filesystem::path& path) : file_(path.string()), json_(parse(path)) {}

  Vocabulary read() {
    if (!json_.is_object()) fail("", "expected a JSON object");
    check_pipeline();
    check_model();
    read_added();
    read_vocab();
    place_added();
    check_bytes();
    read_merges();
    return std::move(out_);
  }

 private:
  static json parse(const std::filesystem::path& path) try {
    const MappedFile file(path);
    return json::parse(file.bytes());
  } catch (const json::parse_error& error) {
    user_error(path.string(), ": byte ", error.byte, ": not valid JSON; expected a Hugging Face tokenizer.json");
  }

  template <typename... Args>
  [[noreturn]] void fail(const std::string& where, const Args&... why) const {
    user_error(file_, ": ", where, where.empty() ? "" : ": ", why...);
  }

  [[noreturn]] void unsupported(const std::string& where, const json& value, const std::string& instead) const {
    std::string found = value.is_object() && value.contains("type") ? value["type"].dump() : value.dump();
    if (found.size() > 60) found = found.substr(0, 57) + "...";
    fail(where, found, " is not supported; ", instead, " (a byte-level BPE tokenizer as GPT-2's)");
  }

  // json[key], or null where there is none.
  static const json& get(const json& object, const char* key) {
    static const json null;
    const auto found = object.find(key);
    return found == object.end() ? null : *found;
  }

  static bool has_type(const json& value, const char* type) { return value.is_object() && get(value, "type") == type; }

  void check_pipeline() const {
    for (const char* key : {"normalizer", "truncation", "padding"})
      if (!get(json_, key).is_null()) unsupported(key, json_[key], "it must be null");
    const json& split = get(json_, "pre_tokenizer");
    if (!has_type(split, "ByteLevel")) unsupported("pre_tokenizer", split, "it must be of type ByteLevel");
    if (get(split, "add_prefix_space") != false)
      unsupported("pre_tokenizer.add_prefix_space", get(split, "add_prefix_space"), "it must be false");
    const json& use_regex = get(split, "use_regex");  // absent in files from before the option existed
    if (!use_regex.is_null() && use_regex != true) unsupported("pre_tokenizer.use_regex", use_regex, "it must be true");
    for (const char* key : {"post_processor", "decoder"}) {
      const json& part = get(json_, key);
      if (!part.is_null() && !has_type(part, "ByteLevel"))
        unsupported(key, part, "it must be null or of type ByteLevel");
    }
  }

  void check_model() const {
    const json& model = get(json_, "model");
    if (!model.is_object()) fail("model", "missing; expected a Hugging Face tokenizer.json with a BPE model");
    // GPT-2's own file predates the field "type".
    const json& type = get(model, "type");
    if (!type.is_null() && type != "BPE") unsupported("model.type", type, "it must be \"BPE\"");
    if (!get(model, "vocab").is_object()) fail("model.vocab", "expected an object of token to id");
    if (!get(model, "merges").is_array()) fail("model.merges", "expected an array of pairs");
    for (const char* key :
         {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"}) {
      const json& value = get(model, key);
      const bool off = value.is_null() || value == false || value == "" || value == 0.0;
      if (!off) unsupported(std::string("model.") + key, value, "it must be off");
    }
  }

  int32_t token_id(const json& value, const std::string& where) const {
    if (!value.is_number_integer() || value < 0 || value >= kMaxVocabSize)
      fail(where, value.dump(), " is not a token id (an integer from 0 to ", kMaxVocabSize - 1, ")");
    return value.get<int32_t>();
  }

  void read_added() {
    const json& list = get(json_, "added_tokens");
    if (!list.is_null() && !list.is_array()) fail("added_tokens", "expected an array");
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string where = text("added_tokens[", i, "]");
      const json& entry = list[i];
      if (!entry.is_object()) fail(where, "expected an object");
      const json& content = get(entry, "content");
      if (!content.is_string() || content == "") fail(where + ".content", "expected a string that is not empty");
      const bool special = get(entry, "special") == true;
      for (const char* key : {"single_word", "lstrip", "rstrip"})
        if (!special && get(entry, key) == true) unsupported(where + "." + key, true, "it must be false");
      const int32_t id = token_id(get(entry, "id"), where + ".id");
      if (!added_.emplace(id, content.get<std::string>()).second) fail(where + ".id", id, " is given twice");
      out_.added.push_back({id, special});
    }
  }

  void place(int32_t id, std::string bytes, const std::string& where) {
    if (id >= std::ssize(out_.tokens)) out_.tokens.resize(static_cast<size_t>(id) + 1);
    std::string& slot = out_.tokens[static_cast<size_t>(id)];
    if (!slot.empty()) fail(where, "id ", id, " is given twice");
    slot = std::move(bytes);
  }

  void read_vocab() {
    for (const auto& [name, value] : json_["model"]["vocab"].items()) {
      const std::string where = "model.vocab[" + json(name).dump() + "]";
      const int32_t id = token_id(value, where);
      ids_.emplace(name, id);
      const auto added = added_.find(id);
      if (added != added_.end() && added->second == name) continue;  // placed with the added tokens
      auto bytes = from_byte_names(name);
      if (!bytes || bytes->empty()) fail(where, "not made of GPT-2's byte names; only byte-level BPE is supported");
      place(id, std::move(*bytes), where);
    }
  }

  void place_added() {
    for (const auto& [id, content] : added_) {
      const auto in_vocab = ids_.find(content);
      if (in_vocab != ids_.end() && in_vocab->second != id)
        fail("added_tokens", json(content).dump(), " has id ", id, ", but model.vocab gives it ", in_vocab->second);
      place(id, content, "added_tokens");
    }
  }

  void check_bytes() const {
    for (int byte = 0; byte < 256; ++byte) {
      const std::string name = to_byte_names(std::string(1, static_cast<char>(byte)));
      const auto entry = ids_.find(name);
      if (entry == ids_.end() || added_.contains(entry->second))
        fail("model.vocab", "no token for byte ", byte, " (", json(name).dump(),
             "); text with it could not be encoded, use a tokenizer whose alphabet is all 256 bytes");
    }
  }

  int32_t merge_part(const std::string& name, const std::string& where) const {
    const auto entry = ids_.find(name);
    if (entry == ids_.end()) fail(where, json(name).dump(), " is not in model.vocab");
    return entry->second;
  }

  void read_merges() {
    const json& list = json_["model"]["merges"];
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string where = text("model.merges[", i, "]");
      std::string left, right;
      if (list[i].is_string()) {  // "a b", the form of older files
        const auto& pair = list[i].get_ref<const std::string&>();
        const size_t space = pair.find(' ');
        left = pair.substr(0, space);
        right = space == std::string::npos ? "" : pair.substr(space + 1);
      } else if (list[i].is_array() && list[i].size() == 2 && list[i][0].is_string() && list[i][1].is_string()) {
        left = list[i][0];
        right = list[i][1];
      }
      if (left.empty() || right.empty()) fail(where, "expected \"left right\" or [\"left\", \"right\"]");
      out_.merges.push_back({merge_part(left, where), merge_part(right, where), merge_part(left + right, where)});
    }
  }

  std::string file_;
  json json_;
  std::map<int32_t, std::string> added_;
  std::unordered_map<std::string, int32_t> ids_;  // of model.vocab, by name
  Vocabulary out_;
};

}  // namespace

Tokenizer load_tokenizer(const std::filesystem::path& path) { return Tokenizer(FileReader(path).read()); }

void save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& path) {
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  const auto& tokens = vocabulary.tokens;
  std::vector<std::string> names;
  for (const std::string& token : tokens) names.push_back(to_byte_names(token));
  ordered_json added = ordered_json::array();
  for (const AddedToken& token : vocabulary.added) {
    names[static_cast<size_t>(token.id)] = tokens[static_cast<size_t>(token.id)];
    added.push_back({{"id", token.id},
                     {"content", names[static_cast<size_t>(token.id)]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", token.special}});
  }
  // Entries are appended to the underlying vector: inserting by key would search all earlier ones each time.
  ordered_json vocab = ordered_json::object();
  for (size_t id = 0; id < names.size(); ++id)
    if (!names[id].empty()) vocab.get_ref<ordered_json::object_t&>().emplace_back(names[id], id);
  ordered_json merges = ordered_json::array();
  for (const Merge& merge : vocabulary.merges)
    merges.push_back(names[static_cast<size_t>(merge.left)] + " " + names[static_cast<size_t>(merge.right)]);
  const ordered_json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  const ordered_json file = {{"version", "1.0"},
                             {"truncation", nullptr},
                             {"padding", nullptr},
                             {"added_tokens", added},
                             {"normalizer", nullptr},
                             {"pre_tokenizer", byte_level},
                             {"post_processor", nullptr},
                             {"decoder", byte_level},
                             {"model",
                              {{"type", "BPE"},
                               {"dropout", nullptr},
                               {"unk_token", nullptr},
                               {"continuing_subword_prefix", nullptr},
                               {"end_of_word_suffix", nullptr},
                               {"fuse_unk", false},
                               {"byte_fallback", false},
                               {"ignore_merges", false},
                               {"vocab", vocab},
                               {"merges", merges}}}};
  write_text_file(path, file.dump(1) + "\n");
}

}  // namespace gptmoe
