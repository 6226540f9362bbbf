#pragma once
// Records as JSON: see record.h.
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "base/check.h"
#include "base/json.h"
#include "base/json_value.h"
#include "records/record.h"

namespace gptmoe {

template <typename T>
struct IsList : std::false_type {};
template <typename T>
struct IsList<std::vector<T>> : std::true_type {};
template <typename T>
struct IsNamed : std::false_type {};
template <typename T>
struct IsNamed<Named<T>> : std::true_type {};

template <typename T>
nlohmann::ordered_json record_json(const T& value);

// Builds an object with the fields in the order of the visits.
class RecordWriter {
 public:
  nlohmann::ordered_json take() { return std::move(out_); }

  template <typename T>
  void field(const char* key, const T& value, const char*) {
    out_[key] = record_json(value);
  }
  template <typename T>
  void maybe(const char* key, const std::optional<T>& value, const char* sentence) {
    if (value) field(key, *value, sentence);
  }
  template <typename T>
  void maybe(const char* key, const std::vector<T>& list, const char* sentence) {
    if (!list.empty()) field(key, list, sentence);
  }
  template <typename T>
  void nullable(const char* key, const std::vector<T>& list, const char*) {
    out_[key] = list.empty() ? nlohmann::ordered_json() : record_json(list);
  }
  template <typename T>
  void derived(const char* key, const T& value, const char* sentence) {
    field(key, value, sentence);
  }
  template <typename Visit>
  void group(const char* key, bool present, const char*, Visit visit) {
    RecordWriter inner;
    if (present) visit(inner);
    out_[key] = present ? inner.take() : nlohmann::ordered_json();
  }

 private:
  nlohmann::ordered_json out_ = nlohmann::ordered_json::object();
};

template <typename T>
nlohmann::ordered_json record_json(const T& value) {
  nlohmann::ordered_json out;
  if constexpr (std::is_same_v<T, double>) {
    if (std::isfinite(value)) out = value;
  } else if constexpr (IsNamed<T>::value) {
    out = nlohmann::ordered_json::object();
    for (const auto& [name, item] : value) out[name] = record_json(item);
  } else if constexpr (IsList<T>::value) {
    out = nlohmann::ordered_json::array();
    for (const auto& item : value) out.push_back(record_json(item));
  } else if constexpr (std::is_same_v<T, JsonValue>) {
    out = *value;
  } else if constexpr (std::is_class_v<T> && !std::is_same_v<T, std::string>) {
    RecordWriter writer;
    visit_fields(writer, value);
    out = writer.take();
  } else {
    out = value;
  }
  return out;
}

// Fills a record from an object and ignores keys that the record does not have. Throws UserError, PLACE: WHY, at the
// first field that is missing or of the wrong kind.
class RecordReader {
 public:
  RecordReader(const nlohmann::ordered_json& json, std::string place, std::string path = "")
      : json_(json), place_(std::move(place)), path_(std::move(path)) {
    if (!json_.is_object()) fail(path_.empty() ? "not a JSON object" : "\"" + path_ + "\" must be an object");
  }

  [[noreturn]] void fail(const std::string& why) const { user_error(place_, ": ", why); }

  template <typename T>
  void field(const char* key, T& value, const char*) {
    const auto found = json_.find(key);
    if (found == json_.end()) fail("\"" + path_of(key) + "\" is missing");
    read(*found, path_of(key), value);
  }
  template <typename T>
  void maybe(const char* key, std::optional<T>& value, const char*) {
    if (has(key)) read(json_[key], path_of(key), value.emplace());
  }
  template <typename T>
  void maybe(const char* key, std::vector<T>& list, const char*) {
    if (has(key)) read(json_[key], path_of(key), list);
  }
  template <typename T>
  void nullable(const char* key, std::vector<T>& list, const char* sentence) {
    if (has(key) || !json_.contains(key)) field(key, list, sentence);
  }
  template <typename T>
  void derived(const char*, const T&, const char*) {}
  template <typename Visit>
  void group(const char* key, bool, const char*, Visit visit) {
    if (!has(key)) return;
    RecordReader inner(json_[key], place_, path_of(key));
    visit(inner);
  }

 private:
  using Json = nlohmann::ordered_json;

  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }
  std::string path_of(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }

  void read(const Json& json, const std::string& path, int64_t& value) const {
    if (!json.is_number_integer() || json.get<int64_t>() < 0) fail("\"" + path + "\" must be a whole number >= 0");
    value = json.get<int64_t>();
  }
  void read(const Json& json, const std::string& path, double& value) const {
    if (!json.is_null() && !json.is_number()) fail("\"" + path + "\" must hold numbers");
    value = json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
  }
  void read(const Json& json, const std::string& path, std::string& value) const {
    if (!json.is_string()) fail("\"" + path + "\" must be a string");
    value = json.get<std::string>();
  }
  void read(const Json& json, const std::string&, JsonValue& value) const { value = nlohmann::json(json); }
  template <typename T>
  void read(const Json& json, const std::string& path, std::vector<T>& list) const {
    if (!json.is_array()) fail("\"" + path + "\" must be a list");
    list.clear();
    for (const Json& item : json) read(item, path, list.emplace_back());
  }
  template <typename T>
  void read(const Json& json, const std::string& path, Named<T>& values) const {
    if (!json.is_object() && !json.is_null()) fail("\"" + path + "\" must be an object");
    values.clear();
    for (const auto& [name, item] : json.items()) read(item, path + "." + name, values.emplace_back(name, T()).second);
  }
  template <typename T>
  requires std::is_class_v<T>
  void read(const Json& json, const std::string& path, T& record) const {
    RecordReader inner(json, place_, path);
    visit_fields(inner, record);
  }

  const Json& json_;
  std::string place_, path_;
};

// Reads `json` as a record; errors start with `place`.
template <typename Record>
Record read_record(const nlohmann::ordered_json& json, const std::string& place) {
  Record record;
  RecordReader reader(json, place);
  visit_fields(reader, record);
  return record;
}

}  // namespace gptmoe
