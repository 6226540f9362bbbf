#pragma once
// Strict reading of one JSON object: every key is asked for by name, and finish() refuses whatever nobody asked for.
// All errors are ConfigErrors of the form `FILE: model.num_heads: unknown key; did you mean "num_attention_heads"?`.
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"

namespace gptmoe {

// The error of one place in a configuration: "FILE: PATH: WHY". The parts stay apart so that a reader that knows better
// where the value came from (the command line) can say so.
struct ConfigError : UserError {
  ConfigError(const std::string& file, std::string path, std::string why)
      : UserError(file + ": " + (path.empty() ? "" : path + ": ") + why), path(std::move(path)), why(std::move(why)) {}
  std::string path, why;
};

class JsonSection {
 public:
  // `value` must be an object (or null, read as empty); `path` is what errors call it ("model"), `file` where it is
  // from.
  JsonSection(const nlohmann::json& value, std::string path, std::string file);

  bool has(const std::string& key) const;

  // Bounds are inclusive. Required: a missing key is an error. With a fallback: a missing key yields it, unchecked.
  int64_t integer(const std::string& key, int64_t minimum, int64_t maximum);
  int64_t integer(const std::string& key, int64_t minimum, int64_t maximum, int64_t fallback);
  double number(const std::string& key, double minimum, double maximum);
  double number(const std::string& key, double minimum, double maximum, double fallback);
  bool boolean(const std::string& key, bool fallback);
  std::string string(const std::string& key);
  std::string string(const std::string& key, const std::string& fallback);
  // An array of at least `minimum` strings.
  std::vector<std::string> strings(const std::string& key, size_t minimum);
  // One of `allowed`; anything else is an error that lists them and names the nearest.
  std::string choice(const std::string& key, const std::vector<std::string>& allowed, const std::string& fallback);
  // A nested object; absent reads as empty.
  JsonSection section(const std::string& key);
  // The nested object itself, for a reader elsewhere (a router reads its own block); absent reads as empty.
  nlohmann::json raw(const std::string& key);

  // Refuses keys nobody asked for, naming the nearest known one. Every section must be finished.
  void finish() const;

  // Throws a ConfigError that starts with FILE: path.key.
  [[noreturn]] void fail(const std::string& key, const std::string& why) const;

  const std::string& path() const { return path_; }
  const std::string& file() const { return file_; }

 private:
  const nlohmann::json* find(const std::string& key);  // nullptr when absent
  const nlohmann::json& require(const std::string& key, const std::string& wanted);
  std::string where(const std::string& key) const;

  nlohmann::json value_;
  std::string path_, file_;
  std::vector<std::string> known_;
};

// The member of `candidates` nearest to `word`: the least edit distance (insert, delete, replace, swap neighbours; case
// ignored) if that is at most max(2, a third of the word), else one that contains the word or is contained in it, whole
// or word by word (num_heads: num_attention_heads). Empty when nothing is near enough to suggest; ties go to the first.
std::string nearest_word(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace gptmoe
