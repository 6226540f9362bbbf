#pragma once
// The keys of a config, each described once. Every struct of the config, and every router, has one function that visits
// its keys with required(), optional() or derived(). The visitor decides what happens: FieldReader reads values from
// JSON, FieldWriter writes them, and the test of docs/config.md lists the keys with their sentences.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/json_value.h"
#include "base/key_error.h"
#include "config/data_source.h"
#include "config/param_groups.h"
#include "config/range.h"

namespace gptmoe {

using Words = std::vector<std::string>;  // allowed values of a string; empty: any

struct Field {
  const char* key;
  const char* sentence;             // what it means, in plain English
  bool required = false;            // no default
  const char* otherwise = nullptr;  // the default in words, if it follows from other keys
  const char* word = nullptr;       // a string that is allowed instead of a number; the value is then 0
};

class Fields {
 public:
  virtual ~Fields() = default;

  // One sentence about the keys that follow.
  virtual void about(const char* /*sentence*/) {}

  // A required key.
  void required(const char* key, int64_t& value, const Integers& range, const char* sentence) {
    visit({key, sentence, true}, value, range);
  }
  // A required key that may also be the string `word`; `value` is then 0, which `range` must exclude.
  void required(const char* key, int64_t& value, const Integers& range, const char* word, const char* sentence) {
    visit({.key = key, .sentence = sentence, .required = true, .word = word}, value, range);
  }
  void required(const char* key, double& value, const Numbers& range, const char* sentence) {
    visit({key, sentence, true}, value, range);
  }
  void required(const char* key, std::string& value, const char* sentence) { visit({key, sentence, true}, value, {}); }
  void required(const char* key, DataSources& value, const char* sentence) { visit({key, sentence, true}, value); }

  // An optional key. `value` holds the default, and keeps it if the key is absent.
  void optional(const char* key, int64_t& value, const Integers& range, const char* sentence) {
    visit({key, sentence}, value, range);
  }
  void optional(const char* key, double& value, const Numbers& range, const char* sentence) {
    visit({key, sentence}, value, range);
  }
  void optional(const char* key, std::string& value, const Words& words, const char* sentence) {
    visit({key, sentence}, value, words);
  }
  void optional(const char* key, std::string& value, const char* sentence) { visit({key, sentence}, value, {}); }
  void optional(const char* key, bool& value, const char* sentence) { visit({key, sentence}, value); }
  void optional(const char* key, DataSources& value, const char* sentence) { visit({key, sentence}, value); }
  void optional(const char* key, ParamGroups& value, const char* sentence) { visit({key, sentence}, value); }

  // An optional key whose default follows from other keys, as `otherwise` says. If it is absent, `value` stays 0 for
  // the caller to fill in.
  void derived(const char* key, int64_t& value, const Integers& range, const char* otherwise, const char* sentence) {
    visit({key, sentence, false, otherwise}, value, range);
  }

  // A nested object with its own keys: visit_fields(fields, object).
  template <typename Object>
  void section(const char* key, Object& object) {
    visit_section(key, [&object](Fields& fields) { visit_fields(fields, object); });
  }
  // All keys that were not visited. They are read elsewhere.
  virtual void others(JsonValue& values) = 0;

  // `word` was once a value of `key` and is refused; `why` names the remedy.
  virtual void former(const char* /*key*/, const char* /*word*/, const char* /*why*/) {}
  // Throws a KeyError about `key`.
  [[noreturn]] void fail(const char* key, const std::string& why) const { throw error_at(key, why); }

 protected:
  virtual void visit(const Field& field, int64_t& value, const Integers& range) = 0;
  virtual void visit(const Field& field, double& value, const Numbers& range) = 0;
  virtual void visit(const Field& field, std::string& value, const Words& words) = 0;
  virtual void visit(const Field& field, bool& value) = 0;
  // Routers have no keys of these two types.
  virtual void visit(const Field& /*field*/, DataSources& /*value*/) {}
  virtual void visit(const Field& /*field*/, ParamGroups& /*value*/) {}
  virtual void visit_section(const char* key, const std::function<void(Fields&)>& fields) = 0;
  virtual KeyError error_at(const char* key, const std::string& why) const { return {"config", key, why}; }
};

}  // namespace gptmoe
