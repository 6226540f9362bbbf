#include "base/read_json.h"

#include <algorithm>

namespace gptmoe {

template nlohmann::json parse_json_at(std::string_view, const std::string&, const JsonBuilder<nlohmann::json>::PlaceOf&,
                                      Comments);
template nlohmann::ordered_json parse_json_at(std::string_view, const std::string&,
                                              const JsonBuilder<nlohmann::ordered_json>::PlaceOf&, Comments);

std::string line_and_column(std::string_view content, const std::string& file, size_t byte) {
  const size_t before = std::min(byte > 0 ? byte - 1 : 0, content.size());
  const auto line = 1 + std::count(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(before), '\n');
  const size_t newline = before > 0 ? content.rfind('\n', before - 1) : std::string_view::npos;
  const size_t column = newline == std::string_view::npos ? before + 1 : before - newline;
  return text(file, ":", line, ":", column);
}

std::string json_complaint(const std::string& what) {
  constexpr size_t kLongest = 160;  // the parser may quote a whole file
  const size_t start = what.find("syntax error");
  const size_t prefix = what.find("] ");
  std::string out = start != std::string::npos    ? what.substr(start)
                    : prefix != std::string::npos ? what.substr(prefix + 2)
                                                  : what;
  if (out.size() > kLongest) out = out.substr(0, kLongest) + "...";
  return out;
}

}  // namespace gptmoe
