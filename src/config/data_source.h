#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/json_value.h"

namespace gptmoe {

class JsonSection;

// One source of data.train, data.val or train.tasks.files.
struct DataSource {
  std::string path = {};  // glob of shards; for tasks, a file or folder
  std::string name = {};  // empty: `path` is the name
  double weight = 0;      // share of the tokens, relative to the other sources; 0: none given
  // How many times this source is read while a source with `epochs` 1 is read once; 0: not given, which means 1.
  double epochs = 0;

  const std::string& label() const { return name.empty() ? path : name; }
  bool operator==(const DataSource&) const = default;
};
using DataSources = std::vector<DataSource>;

// Reads the value of a key of `section` in any of its forms: a glob; an object {"NAME": glob}; a list whose items are
// globs or objects with the keys "path", "name", "weight" and "epochs". An empty string means no sources. Throws
// KeyError if a key is unknown, missing, mistyped or out of range, if two sources have the same name, or if some
// sources have a "weight" and others do not.
DataSources read_data_sources(const JsonSection& section, const std::string& key, const JsonValue& value);
// The shortest form that read_data_sources() reads as `sources`.
nlohmann::ordered_json to_json(const DataSources& sources);

// The labels, as in "wiki, books".
std::string labels(const DataSources& sources);

}  // namespace gptmoe
