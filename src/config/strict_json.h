#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace gptmoe {

// JSON text with // and /* */ comments where `comments` allows them, otherwise as RFC 8259 has it; a key given twice in
// one object is an error too. Throws UserError, one line: `FILE:LINE:COLUMN: what is there and what was expected`, or
// ConfigError naming the key given twice. Columns count bytes from 1.
nlohmann::json parse_strict_json(const std::string& content, const std::string& file, bool comments);

// One line of a JSON Lines file, `place` being its FILE:LINE: errors are `PLACE:COLUMN: ...` and ConfigErrors of PLACE.
nlohmann::json parse_strict_json_line(const std::string& line, const std::string& place);

}  // namespace gptmoe
