#pragma once
// A 64-bit checksum that detects damage but not malice. It reads several gigabytes a second. Each word w of 8
// little-endian bytes updates the state s, which starts at 0. The last word is padded with zeros, and the length in
// bytes follows as one more word:
//   s = (s ^ w) * 0x9e3779b97f4a7c15;  s = s ^ (s >> 29)
// For a given w, each step is a bijection of s; for a given s, it is a bijection of w. So damage within one word is
// always detected, and other damage with probability 1 - 2^-64. The shift carries high bits back down, which
// multiplication alone never does.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace gptmoe {

class Checksum {
 public:
  // Takes the next bytes. How the bytes are split into calls does not matter.
  void update(const void* data, int64_t bytes);
  uint64_t value() const;

 private:
  uint64_t state_ = 0;
  uint64_t pending_ = 0;  // the low length_ % 8 bytes of the next word
  uint64_t length_ = 0;
};

class FileReader;
// Adds all bytes of the file. Reads the file in parts, and after each part calls after_part() if it is set. Throws as
// FileReader does.
void add_to_checksum(Checksum& checksum, const FileReader& file, const std::function<void()>& after_part = {});
// The checksum of all bytes of a file, as text.
std::string file_checksum(const std::filesystem::path& path);

// CRC-32C (Castagnoli; RFC 3720), the checksum of TFRecord files: polynomial 0x1edc6f41 with its bits reversed, initial
// value and final exclusive-or 0xffffffff. For "123456789" it is 0xe3069283.
uint32_t crc32c(std::string_view bytes);

uint64_t checksum_of(std::string_view bytes);
// The checksum as 16 hexadecimal digits.
std::string checksum_text(uint64_t checksum);

}  // namespace gptmoe
