#include "config/strict_json.h"

#include <algorithm>
#include <functional>
#include <set>
#include <vector>

#include "base/check.h"
#include "config/json_section.h"

namespace gptmoe {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 32;            // a configuration nests three deep; copies of a json recurse
constexpr size_t kMaxDescription = 160;  // the parser quotes what it read, which may be a whole file

// Watches the parser's events for what it would let pass: a second value under the same key, absurd nesting.
class Watch {
 public:
  explicit Watch(const std::string& file) : file_(file) {}

  bool operator()(int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMaxDepth) user_error(file_, ": nested deeper than ", kMaxDepth, " levels");
    if (event == json::parse_event_t::object_start) open_.emplace_back();
    if (event == json::parse_event_t::object_end) open_.pop_back();
    if (event == json::parse_event_t::key) see_key(parsed.get<std::string>());
    return true;
  }

 private:
  struct Object {
    std::set<std::string> keys;
    std::string current;
  };

  void see_key(const std::string& key) {
    open_.back().current = key;
    if (!open_.back().keys.insert(key).second) throw ConfigError(file_, path(), "given twice; keep one");
  }

  std::string path() const {
    std::string out;
    for (const Object& object : open_) out += (out.empty() ? "" : ".") + object.current;
    return out;
  }

  const std::string& file_;
  std::vector<Object> open_;
};

// "LINE:COLUMN" of the byte-th byte, counted from 1; one past the end is the end.
std::string position(const std::string& content, size_t byte) {
  const size_t before = std::min(byte > 0 ? byte - 1 : 0, content.size());
  const auto end = content.begin() + static_cast<std::ptrdiff_t>(before);
  const auto line = 1 + std::count(content.begin(), end, '\n');
  const size_t newline = before > 0 ? content.rfind('\n', before - 1) : std::string::npos;
  const size_t column = newline == std::string::npos ? before + 1 : before - newline;
  return text(line, ":", column);
}

// The parser's words without its own prefix (exception name and position).
std::string description(const std::string& what) {
  const size_t start = what.find("syntax error");
  const size_t prefix = what.find("] ");
  std::string out = start != std::string::npos    ? what.substr(start)
                    : prefix != std::string::npos ? what.substr(prefix + 2)
                                                  : what;
  if (out.size() > kMaxDescription) out = out.substr(0, kMaxDescription) + "...";
  return out;
}

// `place` is what errors are said of; a syntax error is at place_of(its byte, counted from 1).
json parse(const std::string& content, const std::string& place, bool comments,
           const std::function<std::string(size_t byte)>& place_of) {
  Watch watch(place);
  try {
    return json::parse(content, std::ref(watch), true, comments);
  } catch (const json::parse_error& error) {
    user_error(place_of(error.byte), ": ", description(error.what()));
  } catch (const json::exception& error) {  // a number beyond double
    user_error(place, ": ", description(error.what()));
  }
}

}  // namespace

json parse_strict_json(const std::string& content, const std::string& file, bool comments) {
  return parse(content, file, comments, [&](size_t byte) { return text(file, ":", position(content, byte)); });
}

json parse_strict_json_line(const std::string& line, const std::string& place) {
  return parse(line, place, false, [&](size_t byte) { return text(place, ":", byte); });
}

}  // namespace gptmoe
