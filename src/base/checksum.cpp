#include "base/checksum.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/file.h"

namespace gptmoe {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read as they are in memory");

uint64_t mixed(uint64_t state, uint64_t word) {
  state = (state ^ word) * 0x9e3779b97f4a7c15ull;
  return state ^ (state >> 29);
}

}  // namespace

void Checksum::update(const void* data, int64_t bytes) {
  const auto* next = static_cast<const unsigned char*>(data);
  const unsigned char* end = next + bytes;
  const auto take_byte = [&] {
    pending_ |= static_cast<uint64_t>(*next++) << (length_ % 8 * 8);
    if (++length_ % 8 == 0) {
      state_ = mixed(state_, pending_);
      pending_ = 0;
    }
  };
  while (next < end && length_ % 8 != 0) take_byte();
  uint64_t state = state_;
  const int64_t words = (end - next) / 8;
  for (int64_t i = 0; i < words; ++i, next += 8) {
    uint64_t word;
    std::memcpy(&word, next, 8);
    state = mixed(state, word);
  }
  state_ = state;
  length_ += static_cast<uint64_t>(words) * 8;
  while (next < end) take_byte();
}

uint64_t Checksum::value() const { return mixed(length_ % 8 ? mixed(state_, pending_) : state_, length_); }

uint32_t crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> remainders = [] {
    std::array<uint32_t, 256> all{};
    for (uint32_t byte = 0; byte < 256; ++byte) {
      uint32_t remainder = byte;
      for (int bit = 0; bit < 8; ++bit) remainder = remainder >> 1 ^ (remainder & 1 ? 0x82f63b78u : 0);
      all[byte] = remainder;
    }
    return all;
  }();
  uint32_t crc = 0xffffffffu;
  for (const char c : bytes) crc = crc >> 8 ^ remainders[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

void add_to_checksum(Checksum& checksum, const FileReader& file, const std::function<void()>& after_part) {
  constexpr int64_t kPart = int64_t{4} << 20;
  std::vector<char> part(static_cast<size_t>(std::min(kPart, file.size())));
  for (int64_t at = 0; at < file.size(); at += kPart) {
    const int64_t bytes = std::min(kPart, file.size() - at);
    file.read(part.data(), bytes, at);
    checksum.update(part.data(), bytes);
    if (after_part) after_part();
  }
}

std::string file_checksum(const std::filesystem::path& path) {
  Checksum checksum;
  add_to_checksum(checksum, FileReader(path));
  return checksum_text(checksum.value());
}

uint64_t checksum_of(std::string_view bytes) {
  Checksum checksum;
  checksum.update(bytes.data(), static_cast<int64_t>(bytes.size()));
  return checksum.value();
}

std::string checksum_text(uint64_t checksum) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(checksum));
  return digits;
}

}  // namespace gptmoe
