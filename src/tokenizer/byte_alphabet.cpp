#include "tokenizer/byte_alphabet.h"

#include <algorithm>
#include <numeric>

#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

constexpr uint32_t kNamesEnd = 0x144;  // names are below this code point: 0x100 + 68
constexpr int kNoByte = -1;

struct Alphabet {
  std::array<uint32_t, 256> name_of;
  std::array<int, kNamesEnd> byte_of;
  std::array<uint8_t, 256> order;

  Alphabet() {
    byte_of.fill(kNoByte);
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      name_of[byte] = printable ? byte : next++;
      byte_of[name_of[byte]] = static_cast<int>(byte);
    }
    std::iota(order.begin(), order.end(), uint8_t{0});
    std::sort(order.begin(), order.end(), [this](uint8_t a, uint8_t b) { return name_of[a] < name_of[b]; });
  }
};

const Alphabet& alphabet() {
  static const Alphabet engine;
  return engine;
}

}  // namespace

const std::array<uint8_t, 256>& alphabet_order() { return alphabet().order; }

std::string to_byte_names(std::string_view bytes) {
  std::string names;
  for (unsigned char byte : bytes) append_utf8(names, alphabet().name_of[byte]);
  return names;
}

std::optional<std::string> from_byte_names(std::string_view names) {
  std::string bytes;
  for (size_t at = 0; at < names.size();) {
    const CodePoint point = read_code_point(names, at);
    if (point.value >= kNamesEnd || alphabet().byte_of[point.value] == kNoByte) return std::nullopt;
    bytes.push_back(static_cast<char>(alphabet().byte_of[point.value]));
    at += static_cast<size_t>(point.bytes);
  }
  return bytes;
}

}  // namespace gptmoe
