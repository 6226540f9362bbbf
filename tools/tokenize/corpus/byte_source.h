#pragma once
// The bytes of a text from a file or standard input, plain or compressed. Decompression uses zlib (gzip, RFC 1952) and
// libzstd (Zstandard, RFC 8878), with windows of up to 128 MiB. Several gzip members or zstd frames in a row are one
// text. Zeros after the last gzip member are padding; anything after them is damage. Files are read, not mapped: mapped
// pages would count as the program's memory.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace gptmoe {

enum class Compression : uint8_t { none, gzip, zstd };

class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // Reads up to `room` (> 0) bytes of the text and returns their number, 0 at the end. Throws UserError naming the
  // file. If the compressed data is damaged or cut short, the error also names the byte in the file, and it is thrown
  // only after everything before the damage has been read. The bytes depend on the file alone, not on the requested
  // sizes.
  virtual size_t read(char* to, size_t room) = 0;

  // Skips the next `bytes` of the text; false if the text ends before that. Throws what read() throws.
  virtual bool skip(int64_t bytes);

  // Bytes of the file used up so far.
  virtual int64_t consumed() const = 0;
};

// Throws UserError if the file cannot be opened.
std::unique_ptr<ByteSource> open_byte_source(const std::string& path, Compression compression);

// Standard input, plain or compressed as its first bytes show. Messages call it "standard input". Throws UserError if
// it is not open for reading.
std::unique_ptr<ByteSource> open_standard_input();

}  // namespace gptmoe
