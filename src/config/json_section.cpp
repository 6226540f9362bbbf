#include "config/json_section.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
#include <utility>

#include "base/json.h"
#include "base/key_error.h"
#include "base/nearest_word.h"

namespace gptmoe {
namespace {

using nlohmann::json;

// A value as an error quotes it: short, and printable even if it is not UTF-8.
std::string quote(const json& value) {
  constexpr size_t kLongest = 60;
  const std::string out = value.dump(-1, ' ', true, json::error_handler_t::replace);
  return out.size() <= kLongest ? out : out.substr(0, kLongest) + "...";
}

// Why a number within the range cannot be used as a 32-bit float, the type in which the model computes; empty if it
// can.
std::string fault_in_f32(const json& value, const Numbers& range) {
  const double number = value.get<double>(), size = std::abs(number);
  constexpr const char* kFloats = " in 32-bit floats, in which the model computes; give ";
  if (size > FLT_MAX) return quote(value) + " becomes infinite" + kFloats + text("at most ", FLT_MAX);
  if (size > 0 && size < FLT_MIN) return quote(value) + " becomes 0" + kFloats + text("at least ", FLT_MIN);
  if (number < range.max && static_cast<float>(number) == range.max)
    return text(quote(value), " becomes ", range.max, kFloats, "at most ",
                json(std::nextafter(static_cast<float>(range.max), 0.0f)).dump());
  return "";
}

bool is_integer_in(const json& value, const Integers& range) {
  // The parser stores a number beyond int64 as unsigned; get<int64_t>() would wrap it.
  const bool fits = value.is_number_integer() &&
                    !(value.is_number_unsigned() &&
                      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
  return fits && range.contains(value.get<int64_t>());
}

std::string list(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "\"" : ", \"") + word + "\"";
  return out;
}

}  // namespace

JsonSection::JsonSection(const JsonValue& value, std::string path, std::string file, KeyHints hints)
    : value_(value->is_null() ? JsonValue() : value),
      path_(std::move(path)),
      file_(std::move(file)),
      hints_(std::move(hints)) {
  if (!value_->is_object()) throw KeyError(file_, path_, "must be an object {...}, not " + quote(*value_));
}

bool JsonSection::has(const std::string& key) const { return value_->contains(key); }

int64_t JsonSection::integer(const std::string& key, const Integers& range) {
  const json& value = require(key, range.describe());
  if (!is_integer_in(value, range)) fail(key, "must be " + range.describe() + ", not " + quote(value));
  return value.get<int64_t>();
}

int64_t JsonSection::integer(const std::string& key, const Integers& range, int64_t fallback) {
  return find(key) ? integer(key, range) : fallback;
}

int64_t JsonSection::integer_or_word(const std::string& key, const Integers& range, const std::string& word) {
  const std::string wanted = range.describe() + " or \"" + word + "\"";
  const json& value = require(key, wanted);
  if (value == word) return 0;
  if (!is_integer_in(value, range)) fail(key, "must be " + wanted + ", not " + quote(value));
  return value.get<int64_t>();
}

double JsonSection::number(const std::string& key, const Numbers& range) {
  const json& value = require(key, range.describe());
  if (!value.is_number() || !range.contains(value.get<double>()))
    fail(key, "must be " + range.describe() + ", not " + quote(value));
  if (const std::string fault = fault_in_f32(value, range); !fault.empty()) fail(key, fault);
  return value.get<double>();
}

double JsonSection::number(const std::string& key, const Numbers& range, double fallback) {
  return find(key) ? number(key, range) : fallback;
}

bool JsonSection::boolean(const std::string& key, bool fallback) {
  const json* value = find(key);
  if (!value) return fallback;
  if (!value->is_boolean()) fail(key, "must be true or false, not " + quote(*value));
  return value->get<bool>();
}

std::string JsonSection::string(const std::string& key) {
  const json& value = require(key, "a string");
  if (!value.is_string()) fail(key, "must be a string, not " + quote(value));
  return value.get<std::string>();
}

std::string JsonSection::string(const std::string& key, const std::string& fallback) {
  return find(key) ? string(key) : fallback;
}

std::vector<std::string> JsonSection::strings(const std::string& key, size_t minimum) {
  const std::string wanted = text("an array of at least ", minimum, " strings");
  const json& value = require(key, wanted);
  const auto is_string = [](const json& item) { return item.is_string(); };
  if (!value.is_array() || value.size() < minimum || !std::all_of(value.begin(), value.end(), is_string))
    fail(key, "must be " + wanted + ", not " + quote(value));
  return value.get<std::vector<std::string>>();
}

std::string JsonSection::choice(const std::string& key, const std::vector<std::string>& allowed,
                                const std::string& fallback) {
  const json* value = find(key);
  if (!value) return fallback;
  const std::string word = value->is_string() ? value->get<std::string>() : "";
  if (value->is_string() && std::find(allowed.begin(), allowed.end(), word) != allowed.end()) return word;
  const std::string nearest = nearest_word(word, allowed);
  fail(key, (allowed.size() == 1 ? "must be " : "must be one of ") + list(allowed) + ", not " + quote(*value) +
                (nearest.empty() ? "" : "; did you mean \"" + nearest + "\"?"));
}

JsonSection JsonSection::section(const std::string& key) {
  const json* value = find(key);
  return JsonSection(value ? *value : json(), where(key), file_, hints_);
}

JsonValue JsonSection::any(const std::string& key) {
  const json* value = find(key);
  return value ? *value : json();
}

JsonSection JsonSection::item(const std::string& path, const JsonValue& object) const {
  return JsonSection(object, where(path), file_, hints_);
}

JsonValue JsonSection::others() {
  json rest = json::object();
  for (const auto& item : value_->items())
    if (!is_known(item.key())) rest[item.key()] = item.value();
  for (const auto& item : rest.items()) known_.push_back(item.key());
  return rest;
}

void JsonSection::finish() const {
  for (const auto& item : value_->items())
    if (!is_known(item.key())) fail_unknown(item.key());
}

KeyHint JsonSection::hint(const std::string& key) const { return hints_ ? hints_(where(key)) : KeyHint(); }

void JsonSection::fail_unknown(const std::string& key) const {
  const auto [meant, remark] = hint(key);
  const std::string nearest = meant.empty() ? nearest_word(key, known_) : meant;
  if (meant.empty() && !remark.empty()) fail(key, "unknown key; " + remark);
  if (!nearest.empty())
    fail(key, "unknown key; did you mean \"" + nearest + "\"" + (remark.empty() ? "" : " (" + remark + ")") + "?");
  fail(key,
       known_.empty() ? "unknown key; no key is known here, so remove it" : "unknown key; known here: " + list(known_));
}

const json* JsonSection::find(const std::string& key) {
  if (!is_known(key)) known_.push_back(key);
  const auto found = value_->find(key);
  return found == value_->end() ? nullptr : &*found;
}

const json& JsonSection::require(const std::string& key, const std::string& wanted) {
  if (const json* value = find(key)) return *value;
  // A missing key may be misspelt, or have another program's name. finish() would report that, but it runs later.
  std::vector<std::string> unknown;
  for (const auto& item : value_->items()) {
    if (is_known(item.key())) continue;
    if (hint(item.key()).path == where(key)) fail_unknown(item.key());
    unknown.push_back(item.key());
  }
  const std::string nearest = nearest_word(key, unknown);
  fail(key, nearest.empty() ? "missing; give " + wanted : "missing; is \"" + nearest + "\" a misspelling of it?");
}

bool JsonSection::is_known(const std::string& key) const {
  return std::find(known_.begin(), known_.end(), key) != known_.end();
}

std::string JsonSection::where(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }

}  // namespace gptmoe
