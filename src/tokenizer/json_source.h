#pragma once
// A JSON file that is being read. Errors name the file and the path in it.
#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "tokenizer/unsupported_tokenizer.h"

namespace gptmoe {

// A JSON object as the list of its entries in the file's order, since vocabularies are long and only iterated over.
// Entries move when the list grows and are never copied.
template <typename Key, typename Value, typename Less, typename Allocator>
struct EntryList : std::vector<std::pair<Key, Value>> {
  using key_type = Key;
  using mapped_type = Value;
  using key_compare = Less;
  using std::vector<std::pair<Key, Value>>::vector;

  Value& operator[](const Key& key) { return this->emplace_back(key, Value()).second; }
  auto find(const Key& key) {
    return std::find_if(this->begin(), this->end(), [&](const auto& entry) { return entry.first == key; });
  }
};

using Json = nlohmann::basic_json<EntryList>;

// `value` as a JSON string of about 60 bytes at most, for messages.
std::string in_quotes(std::string_view value);

class JsonSource {
 public:
  // Throws UserError if the file cannot be opened, is not JSON (naming the byte) or not a JSON object.
  explicit JsonSource(const std::filesystem::path& path);

  const Json& root() const { return root_; }
  // object[key], or null if it is missing or `object` is not an object.
  static const Json& get(const Json& object, const char* key);

  template <typename Error = UserError, typename... Args>
  [[noreturn]] void fail(std::string_view where, const Args&... why) const {
    throw Error(text(file_, ": ", where, where.empty() ? "" : ": ", why...));
  }
  // Runs `action`. If it throws a UserError, puts the file and where() in front of the message.
  template <typename Where, typename Action>
  void at(Where where, Action action) const {
    try {
      action();
    } catch (const UnsupportedTokenizer& error) {
      fail<UnsupportedTokenizer>(where(), error.what());
    } catch (const UserError& error) {
      fail(where(), error.what());
    }
  }
  // Throws UnsupportedTokenizer "file: where: VALUE is not supported; INSTEAD".
  [[noreturn]] void unsupported(std::string_view where, const Json& value, std::string_view instead) const;

 private:
  std::string file_;
  Json root_;
};

}  // namespace gptmoe
