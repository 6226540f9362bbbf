#include "corpus/token_file.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "base/progress.h"
#include "corpus/npy_header.h"
#include "data/shard_file.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// Calls visit with a zero of the C++ type for `type`.
template <typename Visit>
void with_type(const IdType& type, Visit visit) {
  switch (type.bytes * 2 + type.has_sign) {
    case 2: return visit(uint8_t{});
    case 3: return visit(int8_t{});
    case 4: return visit(uint16_t{});
    case 5: return visit(int16_t{});
    case 8: return visit(uint32_t{});
    case 9: return visit(int32_t{});
    case 16: return visit(uint64_t{});
    default: return visit(int64_t{});
  }
}

bool begins_like_a_shard(const FileReader& file) {
  int32_t start[2] = {};
  if (file.size() < kShardHeaderBytes) return false;
  file.read(start, sizeof start, 0);
  const ShardFormat* format = shard_format_of(start[0]);
  return format && start[1] == format->version;
}

}  // namespace

std::optional<TokenFormat> token_format_named(std::string_view name) {
  const auto found = std::find(kTokenFormats.begin(), kTokenFormats.end(), name);
  if (found == kTokenFormats.end()) return std::nullopt;
  return static_cast<TokenFormat>(found - kTokenFormats.begin());
}

TokenFile::TokenFile(const fs::path& path, const TokenFileOptions& options)
    : file_(path), vocab_size_(options.vocab_size) {
  const std::string name = path.string();
  const fs::path index = fs::path(path).replace_extension(".idx");
  if (file_.size() == 0) user_error(name, ": empty file, but token ids are expected; copy it again or leave it out");
  if (begins_like_a_shard(file_))
    user_error(name, ": byte 0: already a token shard; name it in a config's \"data\" as it is");
  const std::optional<NpyHeader> npy = read_npy_header(file_);
  if (npy && options.format && options.format != TokenFormat::olmo)
    user_error(name, ": byte 0: begins like a NumPy file; leave out --format or give --format olmo");

  std::optional<TokenFormat> format = options.format;
  if (!format && (npy || path.extension() == ".npy")) format = TokenFormat::olmo;
  if (!format && file_type_at(index) != fs::file_type::not_found) format = TokenFormat::megatron;
  if (!format)
    user_error(name, ": cannot tell the format, since no ", index.filename().string(), " is beside it; give --format ",
               "nanogpt for a plain array of ids, or copy Megatron's .idx there");

  if (format == TokenFormat::megatron) {
    if (file_type_at(index) == fs::file_type::not_found)
      user_error(index.string(), ": no such file, but Megatron's .bin needs it; copy it there");
    index_.emplace(index);
    type_ = &index_->type();
    size_ = index_->ids();
  } else if (npy) {
    type_ = npy->type;
    first_byte_ = npy->bytes;
    size_ = npy->ids;
  } else {
    open_plain(options);
    return;
  }
  type_is_known_ = true;
  if (options.type && *options.type != *type_)
    user_error(name, ": its ", index_ ? "index" : "header", " says ", type_->name, ", not --dtype ", options.type->name,
               "; leave out --dtype");
  if (size_ == 0) user_error(name, ": holds no ids; leave it out");
  const int64_t bytes = file_.size() - first_byte_;
  if (size_ > bytes / type_->bytes || size_ * type_->bytes != bytes)
    user_error(name, ": ", size_ > bytes / type_->bytes ? "truncated" : "too long", ": its ",
               index_ ? "index" : "header", " counts ", plural(size_, "id"), " of ", type_->name, ", found ",
               plural(bytes, "byte"), " of ids; copy or write the file again");
}

void TokenFile::open_plain(const TokenFileOptions& options) {
  type_ = options.type ? options.type : id_type_named(vocab_size_ > 65536 ? "uint32" : "uint16");
  size_ = file_.size() / type_->bytes;
  if (byte_of(size_) != file_.size())
    user_error(path().string(), ": byte ", byte_of(size_), ": ", plural(file_.size() - byte_of(size_), "byte"),
               " left at the end, too few for another ", type_->name, "; copy the file again, or give its --dtype");
  if (type_->bytes == 2 || type_->bytes == 4) refuse_wider_type(options.type);
}

// Ids that are read as a type narrower than the one they were written in may all be in the vocabulary. Their 16-bit
// words show the mistake: the two high words of every 64-bit id are 0. The high word of every 32-bit id is below 4 if
// the true vocabulary has at most 262,144 entries.
void TokenFile::refuse_wider_type(bool type_is_given) const {
  constexpr int64_t kSample = 4096, kFewest = 64;
  constexpr uint16_t kHighWords = 4;
  std::vector<uint16_t> words(static_cast<size_t>(std::min(kSample, file_.size() / 8 * 4)));
  if (std::ssize(words) < kFewest) return;
  file_.read(words.data(), std::ssize(words) * 2, 0);
  bool seem_64 = true, seem_32 = true, all_zero = true, all_low = true;
  for (size_t i = 0; i < words.size(); i += 4) {
    const uint16_t* word = &words[i];
    seem_64 &= word[2] == 0 && word[3] == 0;
    seem_32 &= word[1] < kHighWords && word[3] < kHighWords;
    all_zero &= word[0] == 0 && word[1] == 0;
    all_low &= word[0] < kHighWords && word[2] < kHighWords;
  }
  const std::string name = path().string();
  if (type_->bytes == 4 ? seem_64 && !all_zero : seem_64 && seem_32 && !all_low)
    user_error(name, ": byte 4: every second word of 32 bits is 0, so the ids seem to have 64 bits, more than ",
               type_->name, "; give --dtype uint64 or int64");
  if (type_->bytes == 2 && !type_is_given && seem_32 && !all_low)
    user_error(name, ": byte 2: every second id is below ", kHighWords,
               " as uint16, so the ids seem to be wider; give --dtype uint32, or --dtype uint16 if they are right");
}

void TokenFile::read(int64_t first, int64_t count, int32_t* out) const {
  GPTMOE_CHECK(first >= 0 && count >= 0 && first + count <= size_);
  with_type(*type_, [&]<typename T>(T) {
    constexpr int64_t kBlock = 16384;
    T block[kBlock];
    const auto limit = static_cast<uint64_t>(vocab_size_);
    for (int64_t done = 0; done < count;) {
      const int64_t n = std::min(kBlock, count - done);
      file_.read(block, n * static_cast<int64_t>(sizeof(T)), byte_of(first + done));
      uint64_t highest = 0;  // a negative id becomes a high one
      for (int64_t i = 0; i < n; ++i) {
        highest = std::max(highest, static_cast<uint64_t>(static_cast<int64_t>(block[i])));
        out[done + i] = static_cast<int32_t>(block[i]);
      }
      if (highest >= limit) {
        const int64_t bad =
            std::find_if(block, block + n,
                         [&](T id) { return static_cast<uint64_t>(static_cast<int64_t>(id)) >= limit; }) -
            block;
        user_error(path().string(), ": byte ", byte_of(first + done + bad), ": id ", +block[bad], " (", type_->name,
                   ") is not in the vocabulary of ", grouped_digits(vocab_size_), " entries; correct --tokenizer or ",
                   "--vocab-size", type_is_known_ ? "" : ", or give the --dtype of the file");
      }
      done += n;
    }
  });
}

}  // namespace gptmoe
