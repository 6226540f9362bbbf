#pragma once
// The program's only JSON parser. It follows RFC 8259 strictly, and also refuses repeated keys in an object, nesting
// deeper than kMaxJsonDepth, zero bytes, and numbers beyond the range of a double. `Json` is any nlohmann::basic_json.
#include <filesystem>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/json.h"
#include "base/json_builder.h"

namespace gptmoe {

enum class Comments { refused, allowed };  // "// to the end of the line" and "/* between */"

// Parses a text. Errors name `place`; `place_of(byte)` is the place of a byte, where bytes count from 1.
template <typename Json>
Json parse_json_at(std::string_view text, const std::string& place, const typename JsonBuilder<Json>::PlaceOf& place_of,
                   Comments comments = Comments::refused) {
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos)  // the parser would take it for the end
    user_error(place_of(zero + 1), ": a zero byte, which JSON text cannot contain; the file is damaged");
  JsonBuilder<Json> builder(place, place_of);
  Json::sax_parse(text, &builder, Json::input_format_t::json, true, comments == Comments::allowed);
  return builder.take();
}

// "FILE:LINE:COLUMN" of a byte counted from 1; columns count bytes from 1.
std::string line_and_column(std::string_view content, const std::string& file, size_t byte);

// Parses the content of a file. Throws UserError `FILE:LINE:COLUMN: what is there and what was expected`, or KeyError
// for a repeated key.
template <typename Json = nlohmann::json>
Json parse_json(std::string_view content, const std::string& file, Comments comments = Comments::refused) {
  return parse_json_at<Json>(
      content, file, [&](size_t byte) { return line_and_column(content, file, byte); }, comments);
}

// Parses the file at `path`. Throws what parse_json() throws, and UserError if the file cannot be read.
template <typename Json = nlohmann::json>
Json read_json(const std::filesystem::path& path, Comments comments = Comments::refused) {
  return parse_json<Json>(read_text_file(path), path.string(), comments);
}

// Parses one line of a JSON Lines file. `place` is its FILE:LINE; errors name PLACE:COLUMN.
template <typename Json = nlohmann::json>
Json parse_json_line(std::string_view line, const std::string& place) {
  return parse_json_at<Json>(line, place, [&](size_t byte) { return text(place, ":", byte); });
}

// Parses JSON inside a binary file, from its byte `first` on. Errors name FILE:BYTE, counted from 0.
template <typename Json = nlohmann::json>
Json parse_json_inside(std::string_view part, const std::string& file, size_t first) {
  return parse_json_at<Json>(part, file, [&](size_t byte) { return text(file, ":", first + byte - 1); });
}

extern template nlohmann::json parse_json_at(std::string_view, const std::string&,
                                             const JsonBuilder<nlohmann::json>::PlaceOf&, Comments);
extern template nlohmann::ordered_json parse_json_at(std::string_view, const std::string&,
                                                     const JsonBuilder<nlohmann::ordered_json>::PlaceOf&, Comments);

}  // namespace gptmoe
