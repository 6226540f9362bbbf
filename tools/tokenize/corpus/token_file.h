#pragma once
// Files of token ids that other programs wrote: an array of integers of one type.
//   nanoGPT   train.bin, val.bin: the array alone
//   Megatron  NAME.bin, the array alone, and NAME.idx, which gives type and documents (megatron_index.h)
//   OLMo      *.npy: the array alone, as Dolma writes it, or with NumPy's header (npy_header.h)
#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/file.h"
#include "corpus/id_type.h"
#include "corpus/megatron_index.h"

namespace gptmoe {

enum class TokenFormat { nanogpt, megatron, olmo };
inline constexpr std::array<std::string_view, 3> kTokenFormats = {"nanogpt", "megatron", "olmo"};  // names, in order
// The format with this name; nullopt if there is none.
std::optional<TokenFormat> token_format_named(std::string_view name);

struct TokenFileOptions {
  int64_t vocab_size = 0;                  // every id must be below it
  std::optional<TokenFormat> format = {};  // for files that do not show their format
  const IdType* type = nullptr;  // for files that do not name a type; null: uint16, or uint32 for vocab_size > 65,536
};

class TokenFile {
 public:
  // `path` is the file of the ids. Its format is Megatron's if an .idx is beside it, and OLMo's if the name ends in
  // .npy or the file begins with NumPy's magic; options.format overrides this. Throws UserError naming file, byte and
  // remedy if the file is empty, truncated, of no known format, already a token shard, or contradicts its header, index
  // or options. Also refuses ids without a header that seem to have 64 bits, and ids that seem to have 32 bits unless
  // options.type says 16.
  TokenFile(const std::filesystem::path& path, const TokenFileOptions& options);

  const std::filesystem::path& path() const { return file_.path(); }
  const IdType& type() const { return *type_; }
  int64_t size() const { return size_; }  // ids
  int64_t byte_of(int64_t i) const { return first_byte_ + i * type_->bytes; }
  // Megatron's index; null in other files, which do not say where documents end.
  MegatronIndex* index() { return index_ ? &*index_ : nullptr; }

  // Copies ids [first, first + count) to out[0..count). Throws UserError naming file, byte and remedy if one is
  // negative or not below vocab_size.
  void read(int64_t first, int64_t count, int32_t* out) const;

 private:
  void open_plain(const TokenFileOptions& options);
  void refuse_wider_type(bool type_is_given) const;

  FileReader file_;
  int64_t vocab_size_;
  const IdType* type_ = nullptr;
  bool type_is_known_ = false;  // the file names it
  int64_t first_byte_ = 0, size_ = 0;
  std::optional<MegatronIndex> index_;
};

}  // namespace gptmoe
