#include "corpus/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/descriptor.h"

namespace gptmoe {
namespace {

constexpr size_t kBufferBytes = size_t{256} << 10;
constexpr std::string_view kGzipMagic = "\x1F\x8B", kZstdMagic = "\x28\xB5\x2F\xFD";

// A file descriptor, and its name for messages.
class RawFile {
 public:
  explicit RawFile(const std::string& path)
      : name_(path), opened_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)), fd_(opened_.get()) {
    if (!opened_) user_error(name_, ": cannot open: ", std::strerror(errno), "; make it readable or correct --input");
    struct stat status {};
    if (fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode))
      user_error(name_, ": not a regular file; pipe the text in and give \"-\", or correct --input");
    posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  // For a descriptor that stays open, such as that of standard input.
  RawFile(std::string name, int fd) : name_(std::move(name)), fd_(fd) {}

  // Fills `to`. Fewer bytes mean the end of the file.
  size_t read(char* to, size_t room) {
    size_t got = std::min(room, peeked_.size());
    std::memcpy(to, peeked_.data(), got);
    peeked_.erase(0, got);
    while (got < room) {
      const ssize_t n = ::read(fd_, to + got, room - got);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && got == 0)
        user_error(name_, ": cannot read: ", std::strerror(errno), "; repair the file or correct --input");
      if (n <= 0) break;  // an error after some bytes is reported by the next call
      got += static_cast<size_t>(n);
    }
    position_ += static_cast<int64_t>(got);
    return got;
  }

  // The first bytes, without consuming them; only before the first read().
  std::string_view peek(size_t bytes) {
    std::string first(bytes, '\0');
    first.resize(read(first.data(), bytes));
    position_ = 0;
    return peeked_ = std::move(first);
  }

  bool skip(int64_t bytes) {
    struct stat status {};
    if (fstat(fd_, &status) != 0 || position_ + bytes > status.st_size) return false;
    if (lseek(fd_, bytes, SEEK_CUR) < 0) user_error(name_, ": cannot seek: ", std::strerror(errno));
    position_ += bytes;
    return true;
  }

  const std::string& name() const { return name_; }
  int64_t position() const { return position_; }

 private:
  std::string name_;
  Descriptor opened_;  // none if another part of the program opened the file
  int fd_;
  std::string peeked_;
  int64_t position_ = 0;
};

class PlainSource : public ByteSource {
 public:
  explicit PlainSource(RawFile file) : file_(std::move(file)) {}
  size_t read(char* to, size_t room) override { return file_.read(to, room); }
  bool skip(int64_t bytes) override { return file_.skip(bytes); }
  int64_t consumed() const override { return file_.position(); }

 private:
  RawFile file_;
};

// Decompresses into a buffer of fixed size, so that the position at which damage is found does not depend on the
// reader.
class CompressedSource : public ByteSource {
 public:
  explicit CompressedSource(RawFile file) : file_(std::move(file)), packed_(kBufferBytes), text_(kBufferBytes) {}

  size_t read(char* to, size_t room) override {
    if (text_begin_ == text_end_ && !ended_ && fault_.empty()) {
      text_begin_ = 0;
      text_end_ = decode(text_.data(), text_.size());
    }
    if (text_begin_ == text_end_ && !fault_.empty()) throw UserError(fault_);
    const size_t bytes = std::min(room, text_end_ - text_begin_);
    std::memcpy(to, text_.data() + text_begin_, bytes);
    text_begin_ += bytes;
    return bytes;
  }

  int64_t consumed() const override { return file_.position() - static_cast<int64_t>(packed_end_ - packed_begin_); }

 protected:
  // Fills `to`, unless the text ends (end()), is damaged (damaged(), cut_short()) or not supported (refuse()). Returns
  // the bytes written.
  virtual size_t decode(char* to, size_t room) = 0;

  // Input that is not decompressed yet; empty at the end of the file.
  std::string_view packed() {
    if (packed_begin_ == packed_end_) {
      packed_begin_ = packed_end_ = 0;
      packed_end_ = file_.read(packed_.data(), packed_.size());
    }
    return {packed_.data() + packed_begin_, packed_end_ - packed_begin_};
  }
  void use(size_t bytes) { packed_begin_ += bytes; }

  void end() { ended_ = true; }
  void damaged(const char* format, const char* why) {
    fault_ = text(file_.name(), ": byte ", consumed(), ": damaged ", format, " data (", why, "); get the file again");
  }
  void cut_short(const char* format) {
    fault_ = text(file_.name(), ": byte ", consumed(), ": the file ends in the middle of its ", format,
                  " data; get the whole file");
  }
  void refuse(const std::string& why) { fault_ = text(file_.name(), ": ", why); }
  bool done() const { return ended_ || !fault_.empty(); }

 private:
  RawFile file_;
  std::vector<char> packed_, text_;
  size_t packed_begin_ = 0, packed_end_ = 0;
  size_t text_begin_ = 0, text_end_ = 0;
  bool ended_ = false;
  std::string fault_;
};

class GzipSource : public CompressedSource {
 public:
  explicit GzipSource(RawFile file) : CompressedSource(std::move(file)) {
    constexpr int kGzipOnly = 15 + 16;  // largest window; gzip headers only
    if (inflateInit2(&stream_, kGzipOnly) != Z_OK) throw Failure("out of memory for zlib");
  }
  ~GzipSource() override { inflateEnd(&stream_); }

 private:
  size_t decode(char* to, size_t room) override {
    stream_.next_out = reinterpret_cast<Bytef*>(to);
    stream_.avail_out = static_cast<uInt>(room);
    while (stream_.avail_out > 0 && !done()) {
      const std::string_view input = packed();
      if (between_members_ && input.empty()) {
        end();
      } else if (between_members_ && (padding_ || input.front() == '\0')) {
        skip_padding(input);
      } else {
        inflate_some(input);
      }
    }
    return room - stream_.avail_out;
  }

  // Programs that write in blocks fill the last one with zeros, which gzip ignores too. Only zeros may follow zeros.
  void skip_padding(std::string_view input) {
    padding_ = true;
    const size_t zeros = std::min(input.find_first_not_of('\0'), input.size());
    use(zeros);
    if (zeros < input.size()) damaged("gzip", "more data after zeros");
  }

  void inflate_some(std::string_view input) {
    if (between_members_) inflateReset(&stream_);
    between_members_ = false;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
    stream_.avail_in = static_cast<uInt>(input.size());
    const int code = inflate(&stream_, Z_NO_FLUSH);
    use(input.size() - stream_.avail_in);
    if (code == Z_STREAM_END) {
      between_members_ = true;
    } else if (code == Z_BUF_ERROR && input.empty()) {  // and inflate() has no more output
      cut_short("gzip");
    } else if (code == Z_MEM_ERROR) {
      throw Failure("out of memory for zlib");
    } else if (code != Z_OK && code != Z_BUF_ERROR) {
      damaged("gzip", stream_.msg ? stream_.msg : "unknown reason");
    }
  }

  z_stream stream_{};
  bool between_members_ = false;
  bool padding_ = false;  // zeros have followed a member
};

class ZstdSource : public CompressedSource {
 public:
  explicit ZstdSource(RawFile file) : CompressedSource(std::move(file)), context_(ZSTD_createDCtx()) {
    if (!context_) throw Failure("out of memory for zstd");
    ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kWindowLogMax);
  }
  ~ZstdSource() override { ZSTD_freeDCtx(context_); }

 private:
  size_t decode(char* to, size_t room) override {
    ZSTD_outBuffer out{to, room, 0};
    while (out.pos < out.size && !done()) {
      const std::string_view input = packed();
      const size_t before = out.pos;
      if (between_frames_ && input.empty()) {
        end();
      } else {
        decompress_some(input, out);
        if (input.empty() && out.pos == before) cut_short("zstd");
      }
    }
    return out.pos;
  }

  // Decompresses at most one block, or a part of its header. A call that fails loses the output that it already has, so
  // one call must not span two blocks.
  void decompress_some(std::string_view input, ZSTD_outBuffer& out) {
    ZSTD_inBuffer in{input.data(), std::min(input.size(), wanted_), 0};
    const size_t code = ZSTD_decompressStream(context_, &out, &in);
    if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge)
      return refuse(
          text("needs more than ", 1 << (kWindowLogMax - 20),
               " MiB of memory to decompress (zstd --long); decompress it with zstd -d --long=31 and pipe it in"));
    if (ZSTD_isError(code)) return damaged("zstd", ZSTD_getErrorName(code));
    use(in.pos);
    between_frames_ = code == 0;
    // The library asks for the bytes of a block and of the next block's header.
    constexpr size_t kBlockHeader = 3;
    wanted_ = code == 0 ? kFrameBegin : code > kBlockHeader ? code - kBlockHeader : 1;
  }

  static constexpr int kWindowLogMax = 27;  // zstd's own default limit
  static constexpr size_t kFrameBegin = 5;  // tells how long the frame's header is
  ZSTD_DCtx* context_;
  size_t wanted_ = kFrameBegin;
  bool between_frames_ = false;
};

std::unique_ptr<ByteSource> make_source(RawFile file, Compression compression) {
  switch (compression) {
    case Compression::gzip: return std::make_unique<GzipSource>(std::move(file));
    case Compression::zstd: return std::make_unique<ZstdSource>(std::move(file));
    case Compression::none: break;
  }
  return std::make_unique<PlainSource>(std::move(file));
}

}  // namespace

bool ByteSource::skip(int64_t bytes) {
  std::vector<char> dropped(kBufferBytes);
  while (bytes > 0) {
    const size_t n = read(dropped.data(), static_cast<size_t>(std::min<int64_t>(bytes, std::ssize(dropped))));
    if (n == 0) return false;
    bytes -= static_cast<int64_t>(n);
  }
  return true;
}

std::unique_ptr<ByteSource> open_byte_source(const std::string& path, Compression compression) {
  return make_source(RawFile(path), compression);
}

std::unique_ptr<ByteSource> open_standard_input() {
  if (const int flags = fcntl(STDIN_FILENO, F_GETFL); flags < 0 || (flags & O_ACCMODE) == O_WRONLY)
    user_error("standard input is closed; pipe the text in, or name files with --input");
  RawFile file("standard input", STDIN_FILENO);
  const std::string_view first = file.peek(kZstdMagic.size());
  const Compression compression = first.starts_with(kGzipMagic)   ? Compression::gzip
                                  : first.starts_with(kZstdMagic) ? Compression::zstd
                                                                  : Compression::none;
  return make_source(std::move(file), compression);
}

}  // namespace gptmoe
