#include <simdjson.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "corpus/documents.h"
#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

static_assert(kTextPadding >= simdjson::SIMDJSON_PADDING);

// Memory kept from line to line. Extra memory for a long line is freed after that line: such lines are rare, and there
// are many threads.
constexpr size_t kKeptBytes = size_t{512} << 10;

// Field names for a message: the first few, shortened, on one line.
class FieldNames {
 public:
  void add(std::string_view name) {
    constexpr size_t kNames = 8, kBytes = 32;
    if (++count_ > kNames + 1) return;
    if (count_ > 1) list_ += ", ";
    size_t cut = std::min(name.size(), kBytes);
    while (cut < name.size() && cut > 0 && (name[cut] & 0xC0) == 0x80) --cut;  // not inside a code point
    list_ += count_ > kNames ? "..." : text(name.substr(0, cut), cut < name.size() ? "..." : "");
  }
  std::string list() const {
    std::string line = list_.empty() ? "none" : list_;
    std::replace_if(
        line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, '?');
    return line;
  }

 private:
  std::string list_;
  size_t count_ = 0;
};

struct Line {
  std::string_view text;
  const std::string& path;
  int64_t number;
  size_t bytes_before;  // of the line, before `text`

  std::string place() const { return gptmoe::text(path, ": line ", number); }
  std::string place(size_t byte) const { return gptmoe::text(place(), ", byte ", bytes_before + byte); }
};

// The first level of a line of any valid JSON. Lower levels are not stored: a tree would take many times the line's
// size.
class FirstLevel : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit FirstLevel(const std::string& field) : field_(field) {}

  bool is_object = false, found = false;
  std::optional<std::string> document;  // set if the last field of that name is a string
  FieldNames names;
  size_t fault = 0;  // the byte after which the line is not JSON
  bool beyond_numbers = false;

  bool null() override { return other(); }
  bool boolean(bool) override { return other(); }
  bool number_integer(number_integer_t) override { return other(); }
  bool number_unsigned(number_unsigned_t) override { return other(); }
  bool number_float(number_float_t, const string_t&) override { return other(); }
  bool binary(binary_t&) override { return other(); }
  bool string(string_t& value) override {
    other();
    if (is_wanted()) document = std::move(value);
    return true;
  }
  bool start_object(size_t) override {
    other();
    if (depth_++ == 0) is_object = true;
    return true;
  }
  bool start_array(size_t) override {
    other();
    ++depth_;
    return true;
  }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }
  bool key(string_t& name) override {
    if (!is_object || depth_ != 1) return true;
    wanted_ = name == field_;
    found |= wanted_;
    names.add(name);
    return true;
  }
  bool parse_error(size_t byte, const std::string&, const nlohmann::json::exception& error) override {
    fault = byte;
    beyond_numbers = dynamic_cast<const nlohmann::json::out_of_range*>(&error) != nullptr;
    return false;
  }

 private:
  bool is_wanted() const { return is_object && depth_ == 1 && wanted_; }
  bool other() {
    if (is_wanted()) document.reset();
    return true;
  }
  bool end() {
    --depth_;
    return true;
  }

  const std::string& field_;
  int64_t depth_ = 0;
  bool wanted_ = false;  // whether to keep the next value on the first level
};

size_t first_malformed_byte(std::string_view line) {
  size_t at = 0;
  while (at < line.size()) {
    const CodePoint point = read_code_point(line, at);
    if (point.value == kMalformed) return at;
    at += static_cast<size_t>(point.bytes);
  }
  return at;
}

}  // namespace

struct DocumentParser::State {
  explicit State(const TextInput& input) : field(input.field), skip_errors(input.skip_errors) {}

  std::string field;
  bool skip_errors;
  simdjson::dom::parser parser;
  std::string padded;     // a copy of a line with no padding after it
  std::string from_slow;  // the text of a line that simdjson refuses

  // The document on a line, valid until the next call. `room` bytes follow the line in memory.
  std::string_view document_of(const Line& line, size_t room) {
    std::string_view json = line.text;
    if (room < simdjson::SIMDJSON_PADDING) {
      padded.reserve(json.size() + simdjson::SIMDJSON_PADDING);
      json = padded = json;
    }
    const size_t ahead = json.size() < kKeptBytes ? json.size() / 4 : 0;
    if (json.size() > parser.capacity() && parser.allocate(json.size() + ahead))
      throw Failure(line.place() + ": out of memory for the JSON parser");
    simdjson::dom::element root;
    if (const auto fault = parser.parse(json.data(), json.size(), false).get(root))
      return slow_document_of(line, fault);
    simdjson::dom::object object;
    if (root.get(object)) not_an_object(line);
    simdjson::dom::element value;
    bool found = false;
    for (const auto item : object) {
      if (item.key != field) continue;
      value = item.value;  // the last one counts
      found = true;
    }
    if (!found) {
      FieldNames names;
      for (const auto item : object) names.add(item.key);
      no_field(line, names);
    }
    std::string_view document;
    if (value.get(document)) not_a_string(line);
    return document;
  }

  // Frees the memory that a long line took.
  void forget() {
    if (parser.capacity() > kKeptBytes) parser = simdjson::dom::parser();
    for (std::string* buffer : {&padded, &from_slow})
      if (buffer->capacity() > kKeptBytes) std::string().swap(*buffer);
  }

 private:
  // A line that simdjson refuses. nlohmann's parser finds where the error is; lines that it accepts are valid JSON
  // beyond simdjson's limits: integers of more than 64 bits, more than 1024 levels.
  std::string_view slow_document_of(const Line& line, simdjson::error_code fault) {
    forget();
    FirstLevel root(field);
    if (!nlohmann::json::sax_parse(line.text, &root)) {
      if (root.beyond_numbers) user_error(line.place(), ": a number beyond a double's range; write it as a string");
      const size_t malformed = first_malformed_byte(line.text);
      if (malformed < line.text.size() && root.fault > malformed)
        user_error(line.place(malformed + 1), ": not valid UTF-8; convert the file to UTF-8");
      if (fault == simdjson::STRING_ERROR)
        user_error(line.place(root.fault), ": a broken \\ escape in a string (\\ud800 to \\udfff come in pairs); ",
                   "correct the line");
      const size_t end = line.text.find_last_not_of(" \t\r") + 1;
      if (line.text.find_first_of("{[") < end && root.fault > end)
        user_error(line.place(),
                   ": the JSON value does not end on its line; each line must hold one JSON object, as jq ",
                   "-c . FILE writes it (the objects of an array: jq -c '.[]' FILE)");
      user_error(line.place(root.fault), ": not valid JSON; each line must hold one JSON object");
    }
    if (!root.is_object) not_an_object(line);
    if (!root.found) no_field(line, root.names);
    if (!root.document) not_a_string(line);
    return from_slow = std::move(*root.document);
  }

  [[noreturn]] void not_an_object(const Line& line) const {
    const bool array = line.text[line.text.find_first_not_of(" \t")] == '[';
    user_error(line.place(), ": not a JSON object; a line must read {\"", field, "\": \"...\"}",
               array ? ", as jq -c '.[]' FILE writes the objects of an array" : "");
  }
  [[noreturn]] void no_field(const Line& line, const FieldNames& found) const {
    user_error(line.place(), ": no field \"", field,
               "\"; use --field to name the field that holds the text (found: ", found.list(), ")");
  }
  [[noreturn]] void not_a_string(const Line& line) const {
    user_error(line.place(), ": field \"", field, "\" is not a string; choose another with --field");
  }
};

DocumentParser::DocumentParser(const TextInput& input) : state_(new State(input)) {}

DocumentParser::~DocumentParser() = default;

void DocumentParser::parse(const TextBatch& batch, const std::function<void(const DocumentPiece&)>& visit,
                           std::vector<std::string>& errors) {
  std::string_view bytes = batch.bytes;
  if (!batch.json_lines) {
    if (batch.begins_document && bytes.starts_with(kByteOrderMark)) bytes.remove_prefix(kByteOrderMark.size());
    if (!bytes.empty()) visit({bytes, batch.begins_document, batch.ends_document, batch.document_hash});
    return;
  }
  // A byte order mark may precede the first line.
  size_t marked = batch.begin.byte == 0 && bytes.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  size_t begin = marked;
  for (int64_t number = batch.begin.line + 1; begin < bytes.size(); ++number) {
    const size_t end = std::min(bytes.find('\n', begin), bytes.size());
    const Line line{bytes.substr(begin, end - begin), batch.path, number, std::exchange(marked, 0)};
    begin = end + 1;
    if (line.text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    std::string_view document;
    try {
      document = state_->document_of(line, batch.bytes.capacity() - end);
    } catch (const UserError& error) {
      if (!state_->skip_errors) throw;
      errors.emplace_back(error.what());
    }
    if (!document.empty()) visit({document, true, true, std::nullopt});
    state_->forget();
  }
}

}  // namespace gptmoe
