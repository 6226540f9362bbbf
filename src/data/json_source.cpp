#include "data/json_source.h"

#include "base/file.h"

namespace gptmoe {
namespace {

using nlohmann::json;

json parse(const std::filesystem::path& path) try {
  const MappedFile file(path);
  return json::parse(file.bytes());
} catch (const json::parse_error& error) {
  user_error(path.string(), ": byte ", error.byte, ": not valid JSON");
} catch (const json::out_of_range&) {  // a number beyond all doubles
  user_error(path.string(), ": not valid JSON: a number is out of range");
}

// Never the inside of arrays and objects, which may be deep.
std::string shown(const json& value) {
  const json& type = JsonSource::get(value, "type");
  if (type.is_string()) return in_quotes(type.get_ref<const std::string&>());
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  if (value.is_object()) return "an object";
  return value.is_array() ? "an array" : value.dump();
}

}  // namespace

std::string in_quotes(std::string_view value) {
  constexpr size_t kMost = 60;
  if (value.size() <= kMost) return json(value).dump(-1, ' ', false, json::error_handler_t::replace);
  size_t end = kMost - 3;
  while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xC0) == 0x80) --end;
  return in_quotes(std::string(value.substr(0, end)) + "...");
}

JsonSource::JsonSource(const std::filesystem::path& path) : file_(path.string()), root_(parse(path)) {
  if (!root_.is_object()) fail("", "expected a JSON object");
}

const json& JsonSource::get(const json& object, const char* key) {
  static const json null;
  if (!object.is_object()) return null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

void JsonSource::unsupported(std::string_view where, const json& value, std::string_view instead) const {
  fail(where, shown(value), " is not supported; ", instead);
}

}  // namespace gptmoe
