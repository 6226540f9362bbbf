#include "config/param_groups.h"

#include "base/check.h"
#include "base/json.h"
#include "config/json_section.h"

namespace gptmoe {
namespace {

using nlohmann::ordered_json;

constexpr Numbers kRate{.min = 0, .open_min = true}, kDecay{.min = 0};

ParamGroup read_group(JsonSection section) {
  ParamGroup group;
  const auto given = [&](const char* key) { return !section.any(key)->is_null(); };
  const auto number = [&](const char* key, const Numbers& range) -> std::optional<double> {
    if (!given(key)) return std::nullopt;
    return section.number(key, range);
  };
  group.match = section.string("match");
  if (given("type")) group.type = section.choice("type", {"adamw", "muon"}, "");
  group.learning_rate = number("learning_rate", kRate);
  group.learning_rate_scale = number("learning_rate_scale", kRate);
  group.weight_decay = number("weight_decay", kDecay);
  section.finish();
  if (group.match.empty()) section.fail("match", "is empty; give a pattern, as in \"*.mlp.experts.*\"");
  if (group.learning_rate && group.learning_rate_scale)
    section.fail("learning_rate_scale", "the group has a learning_rate too; remove one");
  if (!group.type && !group.learning_rate && !group.learning_rate_scale && !group.weight_decay)
    section.fail("match",
                 "the group changes nothing; give \"type\", \"learning_rate\", \"learning_rate_scale\" or "
                 "\"weight_decay\"");
  return group;
}

}  // namespace

// Backtracks only to the last star, since it can match anything that an earlier star could match instead.
bool matches_glob(const std::string& pattern, const std::string& name) {
  size_t p = 0, n = 0, star = std::string::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p, ++n;
    } else if (star != std::string::npos) {
      p = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string::npos;
}

ParamGroups read_param_groups(const JsonSection& section, const std::string& key, const JsonValue& value) {
  if (!value->is_array()) section.fail(key, "must be a list of objects {\"match\": pattern, ...}");
  ParamGroups groups;
  for (const auto& item : *value) {
    const std::string path = text(key, "[", groups.size(), "]");
    if (!item.is_object()) section.fail(path, "must be an object {\"match\": pattern, ...}");
    groups.push_back(read_group(section.item(path, item)));
  }
  return groups;
}

ordered_json to_json(const ParamGroups& groups) {
  ordered_json out = ordered_json::array();
  for (const ParamGroup& group : groups) {
    ordered_json& item = out.emplace_back(ordered_json{{"match", group.match}});
    if (group.type) item["type"] = *group.type;
    if (group.learning_rate) item["learning_rate"] = *group.learning_rate;
    if (group.learning_rate_scale) item["learning_rate_scale"] = *group.learning_rate_scale;
    if (group.weight_decay) item["weight_decay"] = *group.weight_decay;
  }
  return out;
}

}  // namespace gptmoe
