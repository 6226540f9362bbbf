#include "config/field_reader.h"

#include "base/json.h"

namespace gptmoe {

void FieldReader::finish() {
  section_.finish();
  for (const auto& [section, fields] : nested_) {
    FieldReader reader(section);
    fields(reader);
    reader.finish();
  }
}

void FieldReader::former(const char* key, const char* word, const char* why) {
  if (section_.string(key, "") == word) fail(key, why);
}

void FieldReader::visit(const Field& field, int64_t& value, const Integers& range) {
  value = field.word       ? section_.integer_or_word(field.key, range, field.word)
          : field.required ? section_.integer(field.key, range)
                           : section_.integer(field.key, range, value);
}

void FieldReader::visit(const Field& field, double& value, const Numbers& range) {
  value = field.required ? section_.number(field.key, range) : section_.number(field.key, range, value);
}

void FieldReader::visit(const Field& field, std::string& value, const Words& words) {
  if (!words.empty())
    value = section_.choice(field.key, words, value);
  else
    value = field.required ? section_.string(field.key) : section_.string(field.key, value);
}

void FieldReader::visit(const Field& field, DataSources& value) {
  const JsonValue given = section_.any(field.key);
  if (given->is_null() && field.required) section_.string(field.key);  // an error: it is missing, or null
  if (!given->is_null()) value = read_data_sources(section_, field.key, given);
}

void FieldReader::visit(const Field& field, ParamGroups& value) {
  const JsonValue given = section_.any(field.key);
  if (!given->is_null()) value = read_param_groups(section_, field.key, given);
}

void FieldReader::visit_section(const char* key, const std::function<void(Fields&)>& fields) {
  nested_.emplace_back(section_.section(key), fields);
}

}  // namespace gptmoe
