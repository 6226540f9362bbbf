#pragma once
// Builds a JSON value from the events of nlohmann's parser. It is stricter than that parser (base/read_json.h).
#include <functional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/key_error.h"

namespace gptmoe {

inline constexpr size_t kMaxJsonDepth = 32;  // limited since copying and printing a value recurse

// The parser's message without its own prefix (exception name and position), cut to a reasonable length.
std::string json_complaint(const std::string& what);

// Throws the UserError and KeyError that read_json.h describes. Errors name `place`; `place_of(byte)` is the place of a
// byte, where bytes count from 1.
template <typename Json>
class JsonBuilder {
 public:
  using PlaceOf = std::function<std::string(size_t byte)>;
  JsonBuilder(const std::string& place, const PlaceOf& place_of) : place_(place), place_of_(place_of) {}

  Json take() { return std::move(root_); }

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(typename Json::number_integer_t value) { return add(value); }
  bool number_unsigned(typename Json::number_unsigned_t value) { return add(value); }
  bool number_float(typename Json::number_float_t value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(typename Json::binary_t&) { return false; }  // JSON text has no binary values

  bool start_object(size_t) { return open(Json::value_t::object); }
  bool start_array(size_t) { return open(Json::value_t::array); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    Level& level = open_.back();
    level.key = name;
    if (!level.keys.insert(name).second) throw KeyError(place_, path(), "given twice; keep one");
    level.slot = &level.value->template get_ref<typename Json::object_t&>()[name];
    return true;
  }
  bool parse_error(size_t byte, const std::string&, const typename Json::exception& error) {
    user_error(place_of_(byte), ": ", json_complaint(error.what()));
  }

 private:
  // An array or object that is not complete yet.
  struct Level {
    Json* value;
    std::unordered_set<std::string> keys;
    std::string key;       // the latest key
    Json* slot = nullptr;  // where the value of the latest key goes
  };

  template <typename Value>
  bool add(Value&& value) {
    place() = std::forward<Value>(value);
    return true;
  }
  // The slot of the next value.
  Json& place() {
    if (open_.empty()) return root_;
    if (open_.back().slot) return *open_.back().slot;
    return open_.back().value->emplace_back(nullptr);
  }
  bool open(typename Json::value_t kind) {
    if (open_.size() == kMaxJsonDepth) user_error(place_, ": nested deeper than ", kMaxJsonDepth, " levels");
    Json& value = place();
    value = kind;
    open_.push_back({&value, {}, {}});
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }
  std::string path() const {
    std::string out;
    for (const Level& level : open_)
      if (level.slot || !level.key.empty()) out += (out.empty() ? "" : ".") + level.key;
    return out;
  }

  const std::string& place_;
  const PlaceOf& place_of_;
  Json root_;
  std::vector<Level> open_;
};

}  // namespace gptmoe
