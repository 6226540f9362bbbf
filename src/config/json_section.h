#pragma once
// Strict reading of one JSON object: every key is asked for by name, and finish() refuses whatever nobody asked for.
// All errors are UserErrors of the form `FILE: model.num_heads: unknown key; did you mean "num_attention_heads"?`.
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gptmoe {

class JsonSection {
 public:
  // `value` must be an object (or null, read as empty); `path` is what errors call it ("model"), `file` where it is from.
  JsonSection(const nlohmann::json& value, std::string path, std::string file);

  bool has(const std::string& key) const;

  // Required: a missing key is an error. With a fallback: a missing key yields it.
  int64_t integer(const std::string& key, int64_t minimum, int64_t maximum);
  int64_t integer(const std::string& key, int64_t minimum, int64_t maximum, int64_t fallback);
  double number(const std::string& key, double minimum, double maximum);
  double number(const std::string& key, double minimum, double maximum, double fallback);
  bool boolean(const std::string& key, bool fallback);
  std::string string(const std::string& key);
  std::string string(const std::string& key, const std::string& fallback);
  // One of `allowed`; anything else is an error that lists them and names the nearest.
  std::string choice(const std::string& key, const std::vector<std::string>& allowed, const std::string& fallback);
  // A nested object; absent reads as empty.
  JsonSection section(const std::string& key);
  // The raw value of a nested object, for a reader elsewhere (a router reads its own block).
  nlohmann::json raw(const std::string& key);

  // Refuses keys nobody asked for, naming the nearest known one. Every section must be finished.
  void finish() const;

  // Throws a UserError that starts with FILE: path.key.
  [[noreturn]] void fail(const std::string& key, const std::string& why) const;

  const std::string& path() const { return path_; }
  const std::string& file() const { return file_; }

 private:
  const nlohmann::json* find(const std::string& key);
  std::string where(const std::string& key) const;

  nlohmann::json value_;
  std::string path_, file_;
  std::vector<std::string> known_;
};

// The member of `candidates` with the least edit distance to `word`; empty when none is near enough to suggest.
std::string nearest_word(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace gptmoe
