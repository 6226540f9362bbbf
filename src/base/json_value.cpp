#include "base/json_value.h"

#include "base/json.h"

namespace gptmoe {

JsonValue::JsonValue() : JsonValue(nlohmann::json::object()) {}

std::shared_ptr<const nlohmann::json> JsonValue::shared(const nlohmann::json& json) {
  return std::make_shared<nlohmann::json>(json);
}

bool JsonValue::operator==(const JsonValue& other) const { return *json_ == *other.json_; }

}  // namespace gptmoe
