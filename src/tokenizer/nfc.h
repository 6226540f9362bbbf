#pragma once
// Unicode's Normalization Form C (UAX #15): canonical decomposition, canonical order, canonical composition.
#include <string>
#include <string_view>

namespace gptmoe {

// True when `text` is surely in NFC already; false may mean either. Fast on ASCII and most of what people write.
bool is_surely_nfc(std::string_view text);

// The text in NFC. Bytes that are not valid UTF-8 stay as they are and compose with nothing.
std::string to_nfc(std::string_view text);

}  // namespace gptmoe
