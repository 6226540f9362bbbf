#pragma once
// Unicode's Normalization Form C (UAX #15): canonical decomposition, canonical order, canonical composition.
#include <string>
#include <string_view>

namespace gptmoe {

// True if `text` is surely in NFC already; false if unknown. Fast on ASCII and most text that people write.
bool is_surely_nfc(std::string_view text);

// The text in NFC. Bytes that are not valid UTF-8 stay as they are and compose with nothing.
std::string to_nfc(std::string_view text);

}  // namespace gptmoe
