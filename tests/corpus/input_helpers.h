#pragma once
// Writes input files of every kind.
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <fstream>
#include <random>

#include "support/error_line.h"

namespace gptmoe {

// One gzip member.
inline std::string gzip_of(std::string_view text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// One zstd frame, with a checksum.
inline std::string zstd_of(std::string_view text) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::string out(ZSTD_compressBound(text.size()), '\0');
  const size_t bytes = ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size());
  EXPECT_FALSE(ZSTD_isError(bytes));
  out.resize(bytes);
  ZSTD_freeCCtx(context);
  return out;
}

// Random words and lines, so that they do not compress to almost nothing.
inline std::string random_text(size_t bytes, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < bytes) {
    for (unsigned letters = 1 + random() % 9; letters > 0; --letters) text += static_cast<char>('a' + random() % 26);
    text += random() % 10 ? " " : random() % 2 ? ".\n" : "\n";
  }
  text.resize(bytes);
  return text;
}

struct InputTest : testing::Test {
  std::string write(const std::string& name, std::string_view content) {
    const auto path = folder / name;
    std::filesystem::create_directories(path.parent_path());
    std::filesystem::remove(path);  // some file systems flush overwritten files, and the tests write many
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }
  TemporaryFolder folder;
};

// While this object exists, standard input reads this file.
class StandardInputFrom {
 public:
  explicit StandardInputFrom(const std::string& path) : saved_(dup(STDIN_FILENO)) {
    const int fd = open(path.c_str(), O_RDONLY);
    dup2(fd, STDIN_FILENO);
    close(fd);
  }
  ~StandardInputFrom() {
    saved_ < 0 ? close(STDIN_FILENO) : dup2(saved_, STDIN_FILENO);
    if (saved_ >= 0) close(saved_);
  }

 private:
  int saved_;
};

}  // namespace gptmoe
