#pragma once
// A 64-bit checksum against damage (not against malice), at several gigabytes a second. Words of 8 little-endian bytes
// w, the last one filled up with zeros, then the length in bytes:
//   s = (s ^ w) * 0x9e3779b97f4a7c15;  s = s ^ (s >> 29)
// Each step is a bijection of s for a given w and of w for a given s, so damage within one word is always seen, and any
// other with probability 1 - 2^-64. The shift carries high bits back down, where a product alone never takes them.
#include <cstdint>
#include <string>
#include <string_view>

namespace gptmoe {

class Checksum {
 public:
  // Takes the next bytes; how a whole is cut into updates does not matter.
  void update(const void* data, int64_t bytes);
  uint64_t value() const;

 private:
  uint64_t state_ = 0;
  uint64_t pending_ = 0;  // the low length_ % 8 bytes of the next word
  uint64_t length_ = 0;
};

uint64_t checksum_of(std::string_view bytes);
// 16 hexadecimal digits.
std::string checksum_text(uint64_t checksum);

}  // namespace gptmoe
