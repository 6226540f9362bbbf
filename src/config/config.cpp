#include "config/config.h"

#include <sstream>

#include "base/read_json.h"
#include "config/file_format.h"

namespace gptmoe {
namespace {

using nlohmann::json;

struct Override {
  std::string path;
  json value;
};

// The value as JSON if it parses as JSON, else as a string: --set router.type=topk needs no quotes.
json override_value(const std::string& characters, const std::string& label) {
  try {
    return parse_json(characters, label);
  } catch (const KeyError&) {
    throw;  // an object with a repeated key is not meant as a string
  } catch (const UserError&) {
    return characters;
  }
}

Override parse_override(const std::string& argument) {
  const size_t equals = argument.find('=');
  if (equals == std::string::npos) user_error("--set ", argument, ": no value; write it as --set path.to.key=value");
  Override out{argument.substr(0, equals), {}};
  const std::string label = "--set " + out.path;
  if (("." + out.path + ".").find("..") != std::string::npos)
    user_error(label, ": empty name in the path; write it as --set path.to.key=value");
  try {
    (void)json(argument).dump();
  } catch (const json::type_error&) {
    user_error(label, ": not valid UTF-8");
  }
  out.value = override_value(argument.substr(equals + 1), label);
  return out;
}

void apply_override(const Override& change, json& root) {
  json* place = &root;
  std::istringstream names(change.path);
  names.exceptions(std::ios::badbit);  // running out of memory must not look like the path's end
  std::string name, walked;
  while (std::getline(names, name, '.')) {
    if (!place->is_object() && !place->is_null())
      user_error("--set ", change.path, ": ", walked.empty() ? "the file" : walked, " is not an object");
    place = &(*place)[name];
    walked += (walked.empty() ? "" : ".") + name;
  }
  *place = change.value;
}

// Whether one path equals the other or is a prefix of it.
bool on_one_path(const std::string& a, const std::string& b) {
  return a.size() <= b.size() ? (b + ".").starts_with(a + ".") : on_one_path(b, a);
}

json read_config(const std::filesystem::path& path) {
  const std::string content = read_text_file(path);
  try {
    return parse_json(content, path.string(), Comments::allowed);
  } catch (const KeyError&) {
    throw;  // a repeated key
  } catch (const UserError&) {
    const std::string format = other_format(path, content);
    if (format.empty()) throw;
    user_error(path.string(), ": looks like ", format, ", but a config is JSON; docs/config.md lists its keys");
  }
}

}  // namespace

Config load_config(const std::filesystem::path& path, const std::vector<std::string>& overrides,
                   const ConfigCheck& check) {
  const std::string file = path.string();
  json root = read_config(path);
  std::vector<Override> changes;
  for (const std::string& argument : overrides) {
    changes.push_back(parse_override(argument));
    apply_override(changes.back(), root);
  }
  try {
    const Config config = parse_config(root, file);
    if (check) check(config, file);
    return config;
  } catch (const KeyError& error) {
    for (auto change = changes.rbegin(); change != changes.rend(); ++change)
      if (on_one_path(error.path, change->path))
        throw KeyError("--set " + change->path, error.path == change->path ? "" : error.path, error.why);
    throw;
  }
}

}  // namespace gptmoe
