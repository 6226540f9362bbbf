#include "data/shard_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/checksum.h"
#include "base/progress.h"

namespace gptmoe {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are little-endian and read in place");

using Header = std::array<int32_t, kShardHeaderBytes / sizeof(int32_t)>;
static_assert(sizeof(Header) == kShardHeaderBytes);

const ShardFormat& identify(const Header& header, const std::string& path) {
  const ShardFormat* format = shard_format_of(header[0]);
  if (!format)
    user_error(path, ": byte 0: not a token shard (magic ", header[0], ", expected ", kShardU16.magic, " or ",
               kShardU32.magic, "); make shards from text with gptmoe-tokenize encode, or from other programs' files ",
               "of token ids with gptmoe-tokenize import");
  if (header[1] != format->version)
    user_error(path, ": byte 4: shard version ", header[1], " with magic ", header[0],
               " is not supported, only version ", format->version, "; write the shard again with gptmoe-tokenize");
  return *format;
}

}  // namespace

Shard::Shard(const std::filesystem::path& path) : file_(path) {
  const std::string name = path.string();
  if (file_.size() == 0) user_error(name, ": empty file, but a token shard is expected; write it again or remove it");
  if (file_.size() < kShardHeaderBytes)
    user_error(name, ": truncated: a shard starts with ", kShardHeaderBytes, " bytes of header, found ",
               plural(file_.size(), "byte"), "; copy or write the shard again");
  Header header;
  file_.read(header.data(), sizeof header, 0);
  format_ = &identify(header, name);
  size_ = header[2];
  if (size_ < 0) user_error(name, ": byte 8: the header counts ", size_, " tokens; write the shard again");
  const int64_t expected = kShardHeaderBytes + size_ * format_->token_bytes;
  if (file_.size() != expected)
    user_error(name, ": ", file_.size() < expected ? "truncated" : "longer than its header says", ": ",
               plural(size_, "token"), " make ", plural(expected, "byte"), ", found ", plural(file_.size(), "byte"),
               "; copy or write the shard again");
}

uint32_t Shard::token(int64_t i) const {
  uint32_t id = 0;  // the low bytes come first
  read(i, 1, &id);
  return id;
}

void Shard::copy(int64_t first, int64_t count, int32_t* out) const {
  if (format_->token_bytes == 4) return read(first, count, out);
  std::array<uint16_t, 4096> part;
  for (const int64_t end = first + count; first < end;) {
    const int64_t ids = std::min<int64_t>(end - first, std::ssize(part));
    read(first, ids, part.data());
    out = std::copy_n(part.begin(), ids, out);
    first += ids;
  }
}

uint64_t Shard::checksum() const {
  constexpr int64_t kAll = 1 << 20, kSamples = 64, kSample = 1024;
  Checksum checksum;
  checksum.update(&size_, sizeof size_);
  std::vector<char> stored;
  const auto add = [&](int64_t first, int64_t count) {
    stored.resize(static_cast<size_t>(count * format_->token_bytes));
    read(first, count, stored.data());
    checksum.update(stored.data(), std::ssize(stored));
  };
  if (size_ <= kAll)
    add(0, size_);
  else
    for (int64_t i = 0; i < kSamples; ++i) add((size_ - kSample) * i / (kSamples - 1), kSample);
  return checksum.value();
}

void Shard::read(int64_t first, int64_t count, void* stored) const {
  GPTMOE_CHECK(first >= 0 && count >= 0 && first + count <= size_, "tokens ", first, "+", count, " of ", size_);
  file_.read(stored, count * format_->token_bytes, kShardHeaderBytes + first * format_->token_bytes);
}

void store_tokens(std::span<const int32_t> ids, const ShardFormat& format, std::string& stored) {
  uint32_t bits = 0;
  for (int32_t id : ids) bits |= static_cast<uint32_t>(id);
  GPTMOE_CHECK(bits <= (format.token_bytes == 2 ? uint32_t{UINT16_MAX} : uint32_t{INT32_MAX}), "an id in ", bits);
  const size_t before = stored.size();
  stored.resize(before + ids.size() * static_cast<size_t>(format.token_bytes));
  if (format.token_bytes == 4) {
    if (!ids.empty()) std::memcpy(stored.data() + before, ids.data(), ids.size_bytes());
    return;
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto narrow = static_cast<uint16_t>(ids[i]);
    std::memcpy(stored.data() + before + i * sizeof narrow, &narrow, sizeof narrow);
  }
}

std::filesystem::path partial_path(const std::filesystem::path& path) { return path.string() + ".partial"; }

ShardWriter::ShardWriter(const std::filesystem::path& path, const ShardFormat& format, int64_t tokens)
    : path_(partial_path(path)), format_(format), size_(tokens) {
  // A new file must not exist yet: an existing one is another writer's, or a link to a file that is not ours.
  fd_.reset(open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | (tokens == 0 ? O_CREAT | O_EXCL : 0), 0644));
  if (!fd_ && tokens > 0) user_error(path_.string(), ": cannot open: ", std::strerror(errno));
  if (!fd_) throw Failure(text(path_.string(), ": cannot create: ", std::strerror(errno)));
  if (tokens == 0) return;
  const int64_t bytes = kShardHeaderBytes + tokens * format_.token_bytes;
  struct stat status {};
  const bool whole = fstat(fd_.get(), &status) == 0 && status.st_size >= bytes;
  if (whole && ftruncate(fd_.get(), bytes) == 0) return;
  if (whole) throw Failure(text(path_.string(), ": cannot cut back to ", bytes, " bytes: ", std::strerror(errno)));
  user_error(path_.string(), ": does not hold the ", grouped_digits(tokens), " tokens that were written to it");
}

void ShardWriter::append(std::string_view stored) {
  const auto bytes = static_cast<int64_t>(stored.size());
  GPTMOE_CHECK(bytes % format_.token_bytes == 0 && size_ + bytes / format_.token_bytes <= kMaxShardTokens);
  write_fully(fd_.get(), stored.data(), bytes, kShardHeaderBytes + size_ * format_.token_bytes, path_);
  size_ += bytes / format_.token_bytes;
}

void ShardWriter::sync() {
  if (fsync(fd_.get()) != 0) throw Failure(text(path_.string(), ": cannot flush to disk: ", std::strerror(errno)));
}

void ShardWriter::finish() {
  Header header{};
  header[0] = format_.magic;
  header[1] = format_.version;
  header[2] = static_cast<int32_t>(size_);
  write_fully(fd_.get(), reinterpret_cast<const char*>(header.data()), kShardHeaderBytes, 0, path_);
  sync();
  if (close(fd_.release()) != 0) throw Failure(text(path_.string(), ": cannot close: ", std::strerror(errno)));
}

void publish_shard(const std::filesystem::path& path) {
  if (rename(partial_path(path).c_str(), path.c_str()) != 0)
    throw Failure(text(path.string(), ": cannot rename into place: ", std::strerror(errno)));
}

}  // namespace gptmoe
