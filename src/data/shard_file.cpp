#include "data/shard_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/progress.h"

namespace gptmoe {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are little-endian and read in place");

using Header = std::array<int32_t, kShardHeaderBytes / sizeof(int32_t)>;
static_assert(sizeof(Header) == kShardHeaderBytes);

const ShardFormat& identify(const Header& header, const std::string& path) {
  for (const ShardFormat* format : {&kShardU16, &kShardU32}) {
    if (header[0] != format->magic) continue;
    if (header[1] != format->version)
      user_error(path, ": byte 4: shard version ", header[1], " with magic ", header[0],
                 " is not supported, only version ", format->version, "; write the shard again with gptmoe-tokenize");
    return *format;
  }
  user_error(path, ": byte 0: not a token shard (magic ", header[0], ", expected ", kShardU16.magic, " or ",
             kShardU32.magic, "); make shards from text with gptmoe-tokenize encode");
}

template <typename Id>
uint32_t load_id(const char* tokens, int64_t i) {
  Id id;
  std::memcpy(&id, tokens + i * static_cast<int64_t>(sizeof(Id)), sizeof(Id));
  return id;
}

}  // namespace

Shard::Shard(const std::filesystem::path& path) : file_(path) {
  const std::string name = path.string();
  if (file_.size() == 0) user_error(name, ": empty file, expected a token shard; write it again or remove it");
  if (file_.size() < kShardHeaderBytes)
    user_error(name, ": truncated: a shard starts with ", kShardHeaderBytes, " bytes of header, found ", file_.size(),
               " bytes; copy or write the shard again");
  Header header;
  std::memcpy(header.data(), file_.data(), sizeof header);
  format_ = &identify(header, name);
  size_ = header[2];
  if (size_ < 0) user_error(name, ": byte 8: the header counts ", size_, " tokens; write the shard again");
  const int64_t expected = kShardHeaderBytes + size_ * format_->token_bytes;
  if (file_.size() != expected)
    user_error(name, ": ", file_.size() < expected ? "truncated" : "longer than its header says", ": ",
               grouped_digits(size_), " tokens make ", grouped_digits(expected), " bytes, found ",
               grouped_digits(file_.size()), " bytes; copy or write the shard again");
}

uint32_t Shard::token(int64_t i) const {
  GPTMOE_CHECK(i >= 0 && i < size_, "token ", i, " of ", size_);
  const char* tokens = file_.data() + kShardHeaderBytes;
  return format_->token_bytes == 2 ? load_id<uint16_t>(tokens, i) : load_id<uint32_t>(tokens, i);
}

void Shard::copy(int64_t first, int64_t count, int32_t* out) const {
  GPTMOE_CHECK(first >= 0 && count >= 0 && first + count <= size_, "tokens ", first, "+", count, " of ", size_);
  const char* tokens = file_.data() + kShardHeaderBytes + first * format_->token_bytes;
  if (format_->token_bytes == 4) {
    if (count) std::memcpy(out, tokens, static_cast<size_t>(count) * sizeof *out);
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] = static_cast<int32_t>(load_id<uint16_t>(tokens, i));
  }
}

ShardWriter::ShardWriter(const std::filesystem::path& path, int64_t vocab_size)
    : file_(path), vocab_size_(vocab_size), format_(shard_format_for(vocab_size)) {
  file_.write(Header{}.data(), kShardHeaderBytes);  // known at commit()
}

void ShardWriter::append(std::span<const int32_t> tokens) {
  for (int32_t id : tokens) GPTMOE_CHECK(id >= 0 && id < vocab_size_, "token ", id, " of ", vocab_size_);
  GPTMOE_CHECK(size_ + std::ssize(tokens) <= kMaxShardTokens);
  if (format_.token_bytes == 4) {
    file_.write(tokens.data(), static_cast<int64_t>(tokens.size_bytes()));
  } else {
    const std::vector<uint16_t> narrow(tokens.begin(), tokens.end());
    file_.write(narrow.data(), static_cast<int64_t>(narrow.size() * sizeof narrow[0]));
  }
  size_ += std::ssize(tokens);
}

void ShardWriter::commit() {
  Header header{};
  header[0] = format_.magic;
  header[1] = format_.version;
  header[2] = static_cast<int32_t>(size_);
  file_.write_at(0, header.data(), kShardHeaderBytes);
  file_.commit();
}

}  // namespace gptmoe
