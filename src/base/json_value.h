#pragma once
#include <concepts>
#include <memory>
#include <nlohmann/json_fwd.hpp>

namespace gptmoe {

// A JSON value that a header can hold without json.hpp. The value never changes, and copies share it.
class JsonValue {
 public:
  JsonValue();  // {}
  // Converts implicitly, but not from a list in braces, {"a", 1}: only nlohmann::json decides whether it is an object
  // or an array.
  template <std::same_as<nlohmann::json> Json>
  JsonValue(const Json& json) : json_(shared(json)) {}

  const nlohmann::json& operator*() const { return *json_; }
  const nlohmann::json* operator->() const { return json_.get(); }
  bool operator==(const JsonValue& other) const;

 private:
  static std::shared_ptr<const nlohmann::json> shared(const nlohmann::json& json);

  std::shared_ptr<const nlohmann::json> json_;
};

}  // namespace gptmoe
