#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/json_value.h"

namespace gptmoe {

class JsonSection;

// How the optimizer treats the parameters whose names match a pattern. An absent field leaves the setting unchanged.
struct ParamGroup {
  std::string match;  // glob on names of parameters, for matches_glob()
  std::optional<std::string> type;
  std::optional<double> learning_rate;        // highest rate of the schedule, or:
  std::optional<double> learning_rate_scale;  // the rate as a multiple of optimizer.learning_rate
  std::optional<double> weight_decay;

  bool operator==(const ParamGroup&) const = default;
};
using ParamGroups = std::vector<ParamGroup>;

// Whether `name` matches `pattern`, in which * matches any number of characters and ? matches one.
bool matches_glob(const std::string& pattern, const std::string& name);

// Reads a key's value, a list of objects with the fields of ParamGroup as keys. Throws KeyError if a key is unknown,
// missing, mistyped or out of range, if a pattern is empty, or if a group has two rates or nothing but a pattern.
ParamGroups read_param_groups(const JsonSection& section, const std::string& key, const JsonValue& value);
nlohmann::ordered_json to_json(const ParamGroups& groups);

}  // namespace gptmoe
