#include "config/file_format.h"

#include <algorithm>
#include <cctype>

namespace gptmoe {
namespace {

constexpr const char* kYaml = "YAML";
constexpr const char* kIni = "TOML or INI";

std::string_view trimmed(std::string_view line) {
  const size_t begin = line.find_first_not_of(" \t\r");
  return begin == std::string_view::npos ? "" : line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
}

// Whether the content begins like a JSON object with a quoted key, after spaces and comments ("// to the end of the
// line" and "/* between */").
bool begins_as_json(std::string_view content) {
  const auto skip = [&](size_t bytes) { content.remove_prefix(std::min(bytes, content.size())); };
  for (bool open = false; !content.empty();) {
    if (content.starts_with("//")) {
      skip(content.find('\n'));
    } else if (content.starts_with("/*")) {
      skip(content.find("*/", 2));
      skip(2);
    } else if (std::isspace(static_cast<unsigned char>(content.front()))) {
      skip(1);
    } else if (content.front() == '{' && !open) {
      open = true;
      skip(1);
    } else {
      return open && content.front() == '"';
    }
  }
  return false;
}

// The first line that is not empty and not a comment of YAML, TOML or INI.
std::string_view first_line(std::string_view content) {
  while (!content.empty()) {
    const size_t end = content.find('\n');
    const std::string_view line = trimmed(content.substr(0, end));
    if (!line.empty() && line.front() != '#' && line.front() != ';') return line;
    content.remove_prefix(end == std::string_view::npos ? content.size() : end + 1);
  }
  return "";
}

bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.'; }

}  // namespace

std::string other_format(const std::filesystem::path& path, std::string_view content) {
  if (content.find('\0') != std::string_view::npos) return "a binary file";
  if (content.starts_with("\xEF\xBB\xBF")) content.remove_prefix(3);  // byte order mark
  if (begins_as_json(content)) return "";
  const std::string ending = path.extension().string();
  if (ending == ".yaml" || ending == ".yml") return kYaml;
  if (ending == ".toml" || ending == ".ini" || ending == ".cfg") return kIni;
  if (ending == ".py") return "Python";
  const std::string_view line = first_line(content);
  if (line.starts_with("---") || line.starts_with("%YAML") || line.starts_with("- ")) return kYaml;
  size_t end = line.starts_with('[') ? 1 : 0;
  while (end < line.size() && is_name(line[end])) ++end;
  if (line.starts_with('[')) return end > 1 && end < line.size() && line[end] == ']' ? kIni : "";
  const std::string_view rest = end > 0 ? trimmed(line.substr(end)) : "";
  return rest.starts_with(':') ? kYaml : rest.starts_with('=') ? kIni : "";
}

}  // namespace gptmoe
