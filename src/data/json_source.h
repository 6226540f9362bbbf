#pragma once
// A JSON file under reading, whose complaints name the file and the path in it.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/check.h"

namespace gptmoe {

// `value` as a JSON string of about 60 bytes at most, for messages.
std::string in_quotes(std::string_view value);

class JsonSource {
 public:
  // Throws UserError: cannot be opened, is not JSON (with the byte), is no JSON object.
  explicit JsonSource(const std::filesystem::path& path);

  const nlohmann::json& root() const { return root_; }
  // object[key], or null where there is none or `object` is none.
  static const nlohmann::json& get(const nlohmann::json& object, const char* key);

  template <typename... Args>
  [[noreturn]] void fail(std::string_view where, const Args&... why) const {
    user_error(file_, ": ", where, where.empty() ? "" : ": ", why...);
  }
  // Runs `action`, whose UserErrors do not know their place; `where` is only put into words for them.
  template <typename Where, typename Action>
  void at(Where where, Action action) const {
    try {
      action();
    } catch (const UserError& error) {
      fail(where(), error.what());
    }
  }
  // "file: where: VALUE is not supported; INSTEAD".
  [[noreturn]] void unsupported(std::string_view where, const nlohmann::json& value, std::string_view instead) const;

 private:
  std::string file_;
  nlohmann::json root_;
};

}  // namespace gptmoe
