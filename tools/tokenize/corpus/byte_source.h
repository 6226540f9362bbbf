#pragma once
// Where the bytes of a text come from: a file or standard input, as it is or compressed. Decompression is zlib's (gzip,
// RFC 1952) and libzstd's (Zstandard, RFC 8878), with windows of up to 128 MiB. Several gzip members or zstd frames in
// a row are one text. Files are read, not mapped: pages of a mapping would count as memory of ours.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace gptmoe {

enum class Compression : uint8_t { none, gzip, zstd };

class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // The next bytes of the text, at most `room` (> 0) of them; their number, 0 at the end of the text. Throws UserError
  // naming the file, and for damaged or truncated compression the byte of the compressed file, once everything before
  // the damage has been read. What is read depends on the file alone, not on the sizes asked for.
  virtual size_t read(char* to, size_t room) = 0;

  // Leaves out the next `bytes` of the text; false when it ends before. Throws as read().
  virtual bool skip(int64_t bytes);

  // Bytes of the file used up so far.
  virtual int64_t consumed() const = 0;
};

// Throws UserError when the file cannot be opened.
std::unique_ptr<ByteSource> open_byte_source(const std::string& path, Compression compression);

// Compressed or not as its first bytes say; messages call it "standard input".
std::unique_ptr<ByteSource> open_standard_input();

}  // namespace gptmoe
