#pragma once
#include <utility>

#include "config/fields.h"
#include "config/json_section.h"

namespace gptmoe {

// Fills fields in from a JSON object. Throws KeyError at a key that is missing, mistyped or out of range.
class FieldReader final : public Fields {
 public:
  explicit FieldReader(JsonSection section) : section_(std::move(section)) {}

  // Refuses unknown keys, then reads the nested objects. So if an object's name is misspelt, the error reports the
  // unknown name, not a missing key of the object.
  void finish();

  void others(JsonValue& values) override { values = section_.others(); }
  void former(const char* key, const char* word, const char* why) override;

 private:
  void visit(const Field& field, int64_t& value, const Integers& range) override;
  void visit(const Field& field, double& value, const Numbers& range) override;
  void visit(const Field& field, std::string& value, const Words& words) override;
  void visit(const Field& field, bool& value) override { value = section_.boolean(field.key, value); }
  void visit(const Field& field, DataSources& value) override;
  void visit(const Field& field, ParamGroups& value) override;
  void visit_section(const char* key, const std::function<void(Fields&)>& fields) override;

  KeyError error_at(const char* key, const std::string& why) const override { return section_.error_at(key, why); }

  JsonSection section_;
  std::vector<std::pair<JsonSection, std::function<void(Fields&)>>> nested_;
};

}  // namespace gptmoe
