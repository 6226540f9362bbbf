#pragma once
// A seal is the last key of a JSON object, "checksum": the checksum (base/checksum.h) of the object's text before it.
// So any damage to the text is detected. Files that older versions wrote have no seal and are read without this check.
#include <filesystem>
#include <string>
#include <string_view>

#include "base/read_json.h"

namespace gptmoe {

enum class Seal { intact, broken, none };

// The object with its seal and a newline. `object` comes from dump(), with any indentation, and is not empty.
std::string sealed(std::string_view object);

// The state of the seal in `content`: text that sealed() returned and that may have been damaged since, or an object
// that an older version wrote without a seal.
Seal seal_of(std::string_view content);

// The digits of the seal in `content`, intact or not; empty if there is none.
std::string_view seal_digits(std::string_view content);

// Throws UserError "FILE: does not match its own checksum: ..." if the seal is broken.
void require_seal(std::string_view content, const std::string& file);

// Parses the object in the content of `file`. Throws what parse_json() and require_seal() throw.
template <typename Json = nlohmann::json>
Json parse_sealed_json(const std::string& content, const std::string& file) {
  require_seal(content, file);
  return parse_json<Json>(content, file);
}

}  // namespace gptmoe
