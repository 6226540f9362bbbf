#pragma once
// The config.json of a model in a Hugging Face folder. Every error is a UserError: FILE: KEY: WHY.
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"

namespace gptmoe {

class TheirConfig {
 public:
  explicit TheirConfig(const std::filesystem::path& file);

  const std::string& file() const { return file_; }

  // These functions read a key; "a.b" is key b of object a. Null counts as absent. Without a fallback, an absent key is
  // an error, since the default of the class depends on the version of transformers.
  bool has(const std::string& key);
  void require(const std::string& key);  // throws if it is absent
  std::string word(const std::string& key);
  int64_t count(const std::string& key);  // at least 1
  int64_t count(const std::string& key, int64_t fallback);
  double number(const std::string& key, double fallback);
  bool flag(const std::string& key, bool fallback);
  const nlohmann::json& value(const std::string& key);  // null if absent

  // For a key that changes what the model computes. Throws unless its value is one of `computed`; an absent key has the
  // value `otherwise`.
  void need(const std::string& key, const nlohmann::json& otherwise, std::initializer_list<nlohmann::json> computed);
  // FILE: KEY: VALUE is not supported: WHY.
  [[noreturn]] void refuse(const std::string& key, const nlohmann::json& value, const std::string& why) const;

  // The keys that were not read, without those that are known to have no effect on what a model computes.
  std::vector<std::string> ignored() const;

 private:
  [[noreturn]] void mistyped(const std::string& key, const char* wanted);

  std::string file_;
  nlohmann::json json_;
  std::set<std::string> asked_;
};

}  // namespace gptmoe
