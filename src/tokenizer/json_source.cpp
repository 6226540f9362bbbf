#include "tokenizer/json_source.h"

#include "base/read_json.h"

namespace gptmoe {
namespace {

// The value in the form that messages use, without the contents of arrays and objects, which may be long.
std::string shown(const Json& value) {
  const Json& type = JsonSource::get(value, "type");
  if (type.is_string()) return in_quotes(type.get_ref<const std::string&>());
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  if (value.is_object()) return "an object";
  return value.is_array() ? "an array" : value.dump();
}

}  // namespace

std::string in_quotes(std::string_view value) {
  constexpr size_t kMost = 60;
  if (value.size() <= kMost) return Json(value).dump(-1, ' ', false, Json::error_handler_t::replace);
  size_t end = kMost - 3;
  while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xC0) == 0x80) --end;
  return in_quotes(std::string(value.substr(0, end)) + "...");
}

JsonSource::JsonSource(const std::filesystem::path& path) : file_(path.string()), root_(read_json<Json>(path)) {
  if (!root_.is_object()) fail("", "expected a JSON object");
}

const Json& JsonSource::get(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

void JsonSource::unsupported(std::string_view where, const Json& value, std::string_view instead) const {
  fail<UnsupportedTokenizer>(where, shown(value), " is not supported; ", instead);
}

}  // namespace gptmoe
