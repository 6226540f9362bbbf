#pragma once
// Strict reading of one JSON object: the reader requests every key by name, and finish() refuses all other keys. All
// errors are KeyErrors of the form `FILE: model.num_heads: unknown key; did you mean "num_attention_heads"?`.
#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/json_value.h"
#include "base/key_error.h"
#include "config/range.h"

namespace gptmoe {

// What an unknown key probably means. Both texts are empty if nothing is known about it.
struct KeyHint {
  std::string path;    // the key that was meant, with its sections: "optimizer.learning_rate"
  std::string remark;  // added to "did you mean PATH?"; without a `path`, what to do
};
// The hint for an unknown key, given with its sections.
using KeyHints = std::function<KeyHint(const std::string& path)>;

class JsonSection {
 public:
  // `value` must be an object (or null, read as empty). Errors name it as `path` ("model") in `file`. Errors about
  // unknown keys use a hint from `hints` if there is one.
  JsonSection(const JsonValue& value, std::string path, std::string file, KeyHints hints = nullptr);

  bool has(const std::string& key) const;

  // Without a fallback, a missing key is an error. With one, a missing key returns the fallback, unchecked.
  int64_t integer(const std::string& key, const Integers& range);
  int64_t integer(const std::string& key, const Integers& range, int64_t fallback);
  // Requires the key; returns 0 if its value is the string `word`.
  int64_t integer_or_word(const std::string& key, const Integers& range, const std::string& word);
  double number(const std::string& key, const Numbers& range);
  double number(const std::string& key, const Numbers& range, double fallback);
  bool boolean(const std::string& key, bool fallback);
  std::string string(const std::string& key);
  std::string string(const std::string& key, const std::string& fallback);
  // An array of at least `minimum` strings.
  std::vector<std::string> strings(const std::string& key, size_t minimum);
  // One of `allowed`; anything else is an error that lists them and names the nearest one.
  std::string choice(const std::string& key, const std::vector<std::string>& allowed, const std::string& fallback);
  // A nested object; an absent one reads as empty.
  JsonSection section(const std::string& key);
  // The value of a key that may be of several kinds; null if it is absent.
  JsonValue any(const std::string& key);
  // An object inside the value of a key; `path` leads to it, as in "train[1]".
  JsonSection item(const std::string& path, const JsonValue& object) const;
  // Every key that was not requested so far, with its value, to be read elsewhere. These keys then count as requested.
  JsonValue others();

  // Refuses keys that were not requested. The error has the hint for the key, or else names the nearest known key.
  // Call it on every section.
  void finish() const;

  // The key with the sections that hold it: "path.key".
  std::string where(const std::string& key) const;
  // The error of a key: FILE: path.key: WHY.
  KeyError error_at(const std::string& key, const std::string& why) const { return {file_, where(key), why}; }
  [[noreturn]] void fail(const std::string& key, const std::string& why) const { throw error_at(key, why); }

 private:
  const nlohmann::json* find(const std::string& key);  // nullptr when absent
  const nlohmann::json& require(const std::string& key, const std::string& wanted);
  bool is_known(const std::string& key) const;
  KeyHint hint(const std::string& key) const;
  [[noreturn]] void fail_unknown(const std::string& key) const;

  JsonValue value_;
  std::string path_, file_;
  KeyHints hints_;
  std::vector<std::string> known_;
};

}  // namespace gptmoe
