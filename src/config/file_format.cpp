#include "config/file_format.h"

#include <cctype>

namespace gptmoe {
namespace {

constexpr const char* kYaml = "YAML";
constexpr const char* kIni = "TOML or INI";

std::string_view trimmed(std::string_view line) {
  const size_t begin = line.find_first_not_of(" \t\r");
  return begin == std::string_view::npos ? "" : line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
}

// The first line that is neither empty nor a comment of YAML, TOML or INI.
std::string_view first_line(std::string_view content) {
  if (content.starts_with("\xEF\xBB\xBF")) content.remove_prefix(3);  // byte order mark
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
