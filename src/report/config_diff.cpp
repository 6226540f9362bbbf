#include "report/config_diff.h"

#include <algorithm>
#include <map>

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;
using Leaves = std::vector<std::pair<std::string, std::string>>;

void collect(const Json& value, const std::string& path, Leaves& leaves) {
  if (!value.is_object()) {
    leaves.emplace_back(path, value.dump(-1, ' ', false, Json::error_handler_t::replace));
    return;
  }
  for (const auto& [key, item] : value.items()) collect(item, path.empty() ? key : path + "." + key, leaves);
}

void add_unless_known(std::vector<std::string>& list, const std::string& item) {
  if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
}

std::string joined(const std::vector<std::string>& values) {
  std::string out;
  for (const std::string& value : values) out += (out.empty() ? "" : ", ") + value;
  return out.empty() ? "—" : out;
}

// One arm's values by path, each distinct value once, in the order of its runs.
std::map<std::string, std::vector<std::string>> values_by_path(const Arm& arm, std::vector<std::string>& order) {
  std::map<std::string, std::vector<std::string>> values;
  for (const RunLog& run : arm.runs) {
    Leaves leaves;
    collect(run.config, "", leaves);
    for (const auto& [path, value] : leaves) {
      add_unless_known(order, path);
      add_unless_known(values[path], value);
    }
  }
  return values;
}

}  // namespace

ConfigDiff diff_configs(const Comparison& comparison) {
  std::vector<std::string> order;
  std::vector<std::map<std::string, std::vector<std::string>>> arms;
  for (const ArmResult& result : comparison.arms) arms.push_back(values_by_path(result.arm, order));

  ConfigDiff diff;
  for (const std::string& path : order) {
    ConfigRow row{path, {}};
    for (auto& arm : arms) row.values.push_back(joined(arm[path]));
    const bool same =
        std::all_of(row.values.begin(), row.values.end(), [&](const auto& v) { return v == row.values[0]; });
    (same ? diff.shared : diff.different).push_back(std::move(row));
  }
  return diff;
}

}  // namespace gptmoe
