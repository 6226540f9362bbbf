#include "config/data_source.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"
#include "config/json_section.h"

namespace gptmoe {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr Numbers kShare{.min = 1e-6, .max = 1e6};

std::string item_of(const std::string& key, size_t index) { return text(key, "[", index, "]"); }

DataSource read_source(JsonSection section) {
  DataSource source;
  source.path = section.string("path");
  source.name = section.string("name", "");
  source.weight = section.number("weight", kShare, 0);
  source.epochs = section.number("epochs", kShare, 0);
  section.finish();
  if (source.weight > 0 && source.epochs > 0)
    section.fail("epochs", "a source has a weight or a number of epochs, not both; remove one");
  return source;
}

DataSources read_list(const JsonSection& section, const std::string& key, const json& list) {
  DataSources sources;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string item = item_of(key, i);
    if (list[i].is_string())
      sources.push_back({list[i].get<std::string>()});
    else if (list[i].is_object())
      sources.push_back(read_source(section.item(item, list[i])));
    else
      section.fail(item, "must be a glob or an object {\"path\": ...}");
  }
  return sources;
}

// `items`: the JSON path of each source, for errors.
void check_sources(const JsonSection& section, const std::vector<std::string>& items, const DataSources& sources) {
  const bool weighted = std::any_of(sources.begin(), sources.end(), [](const auto& s) { return s.weight > 0; });
  for (size_t i = 0; i < sources.size(); ++i) {
    const std::string& item = items[i];
    if (sources[i].path.empty()) section.fail(item, "is empty; name its shards, as in \"data/train_*.bin\"");
    if (weighted && sources[i].weight == 0)
      section.fail(item, "has no weight, but another source has one; give every source a weight, or none");
    for (size_t other = 0; other < i; ++other)
      if (sources[other].label() == sources[i].label())
        section.fail(
            item, "has the same name as " + section.where(items[other]) + "; give each source a \"name\" of its own");
  }
}

}  // namespace

DataSources read_data_sources(const JsonSection& section, const std::string& key, const JsonValue& value) {
  DataSources sources;
  if (value->is_string()) {
    if (!value->get<std::string>().empty()) sources.push_back({value->get<std::string>()});
  } else if (value->is_array()) {
    sources = read_list(section, key, *value);
  } else if (value->is_object()) {
    JsonSection named = section.item(key, *value);
    for (const auto& [name, path] : value->items()) {
      if (name.empty()) section.fail(key, "a source has an empty name");
      sources.push_back({named.string(name), name});
    }
  } else {
    section.fail(key, "must be a glob, a list of sources or an object {\"NAME\": glob}");
  }
  std::vector<std::string> items;
  for (size_t i = 0; i < sources.size(); ++i)
    items.push_back(value->is_object() ? key + "." + sources[i].name : value->is_array() ? item_of(key, i) : key);
  check_sources(section, items, sources);
  return sources;
}

ordered_json to_json(const DataSources& sources) {
  const auto is_plain = [](const DataSource& s) { return s.name.empty() && s.weight == 0 && s.epochs == 0; };
  if (sources.empty()) return "";
  if (sources.size() == 1 && is_plain(sources[0])) return sources[0].path;
  const bool named = std::all_of(sources.begin(), sources.end(),
                                 [](const auto& s) { return !s.name.empty() && s.weight == 0 && s.epochs == 0; });
  // Reading an object sorts its names, so an object can only store sources that are sorted by name.
  const bool sorted =
      std::is_sorted(sources.begin(), sources.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  ordered_json out = named && sorted ? ordered_json::object() : ordered_json::array();
  for (const DataSource& source : sources) {
    if (named && sorted) {
      out[source.name] = source.path;
      continue;
    }
    if (is_plain(source)) {
      out.push_back(source.path);
      continue;
    }
    ordered_json item = {{"path", source.path}};
    if (!source.name.empty()) item["name"] = source.name;
    if (source.weight > 0) item["weight"] = source.weight;
    if (source.epochs > 0) item["epochs"] = source.epochs;
    out.push_back(item);
  }
  return out;
}

std::string labels(const DataSources& sources) {
  std::string out;
  for (const DataSource& source : sources) out += (out.empty() ? "" : ", ") + source.label();
  return out;
}

}  // namespace gptmoe
