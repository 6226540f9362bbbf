#include "tokenizer/rank_file.h"

#include <array>
#include <charconv>
#include <unordered_map>

#include "tokenizer/json_source.h"
#include "tokenizer/text_lines.h"

namespace gptmoe {
namespace {

constexpr size_t kMaxTokenBytes = 1024;  // published tokens have at most 128 bytes; limits the time to split a token

constexpr int64_t kMaxRank = kMaxVocabSize - 2;  // <|endoftext|> comes after it

std::array<int8_t, 256> base64_digits() {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<int8_t, 256> digits;
  digits.fill(-1);
  for (size_t i = 0; i < kDigits.size(); ++i) digits[static_cast<unsigned char>(kDigits[i])] = static_cast<int8_t>(i);
  return digits;
}

// The decoded bytes; nothing if `encoded` is not base64 of at least one byte.
std::optional<std::string> from_base64(std::string_view encoded) {
  static const std::array<int8_t, 256> digits = base64_digits();
  if (encoded.empty() || encoded.size() % 4 != 0) return std::nullopt;
  const size_t padding = encoded.ends_with("==") ? 2 : encoded.ends_with('=') ? 1 : 0;
  std::string bytes;
  uint32_t bits = 0;
  for (size_t i = 0; i < encoded.size(); ++i) {
    const bool pad = i + padding >= encoded.size();
    const int digit = pad ? 0 : digits[static_cast<unsigned char>(encoded[i])];
    if (digit < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    if (i % 4 == 3)
      for (int shift : {16, 8, 0}) bytes.push_back(static_cast<char>(bits >> shift & 0xFF));
  }
  bytes.erase(bytes.end() - static_cast<int>(padding), bytes.end());
  return bytes;
}

class RankFileReader {
 public:
  explicit RankFileReader(const std::filesystem::path& path) : path_(path) {}

  Vocabulary read(SplitPattern pattern) {
    for_each_line(path_, [&](std::string_view line, int64_t) { read_line(line); });
    for (size_t id = 0; id < out_.tokens.size(); ++id)
      if (!out_.tokens[id].empty() && !ids_.emplace(out_.tokens[id], static_cast<int32_t>(id)).second)
        user_error(path_.string(), ": rank ", id, " has the bytes of an earlier rank; tokens must differ");
    for (int byte = 0; byte < 256; ++byte)
      if (!ids_.contains(std::string(1, static_cast<char>(byte))))
        user_error(path_.string(), ": no token for byte ", byte, "; expected tiktoken's rank file, with all 256 bytes");
    add_merges();
    out_.pattern = pattern;
    out_.whole_words = true;
    add_special_tokens();
    return std::move(out_);
  }

 private:
  void read_line(std::string_view line) {
    if (line.empty()) return;
    const size_t space = std::min(line.find(' '), line.size());
    auto bytes = from_base64(line.substr(0, space));
    const std::string_view number = line.substr(std::min(space + 1, line.size()));
    int64_t rank = -1;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), rank);
    if (!bytes || error != std::errc{} || end != number.data() + number.size())
      user_error("expected a token in base64, a space and its rank (tiktoken's rank file), found ", in_quotes(line));
    if (rank < 0 || rank > kMaxRank) user_error("rank ", rank, " is not between 0 and ", kMaxRank);
    if (bytes->size() > kMaxTokenBytes)
      user_error("a token of ", bytes->size(), " bytes; at most ", kMaxTokenBytes, " are supported");
    if (rank >= std::ssize(out_.tokens)) out_.tokens.resize(static_cast<size_t>(rank) + 1);
    std::string& slot = out_.tokens[static_cast<size_t>(rank)];
    if (!slot.empty()) user_error("rank ", rank, " is given twice");
    slot = std::move(*bytes);
  }

  void add_merges() {
    for (size_t id = 0; id < out_.tokens.size(); ++id) {
      const std::string_view token = out_.tokens[id];
      for (size_t cut = 1; cut < token.size(); ++cut) {
        const auto left = ids_.find(token.substr(0, cut)), right = ids_.find(token.substr(cut));
        if (left == ids_.end() || right == ids_.end()) continue;
        const auto rank = static_cast<int32_t>(id);
        out_.merges.push_back({left->second, right->second, rank, rank});
      }
    }
  }

  void add_special(std::string content, size_t id) {
    GPTMOE_CHECK(id < kMaxVocabSize);
    if (id >= out_.tokens.size()) out_.tokens.resize(id + 1);
    GPTMOE_CHECK(out_.tokens[id].empty());
    out_.tokens[id] = std::move(content);
    out_.added.push_back({static_cast<int32_t>(id), true});
  }

  void add_special_tokens() {
    const size_t ranks = out_.tokens.size();
    const auto is = [&](SplitPattern pattern, size_t count) { return out_.pattern == pattern && ranks == count; };
    if (is(SplitPattern::cl100k, 100256)) {
      add_special("<|endoftext|>", 100257);
      add_special("<|fim_prefix|>", 100258);
      add_special("<|fim_middle|>", 100259);
      add_special("<|fim_suffix|>", 100260);
      add_special("<|endofprompt|>", 100276);
    } else if (is(SplitPattern::llama3, 128000)) {
      add_llama3_tokens(ranks);
    } else if (is(SplitPattern::gpt2, 50281) && out_.tokens[50256].empty()) {
      add_special("<|endoftext|>", 50256);  // p50k_base keeps r50k_base's id for it
    } else {
      add_special("<|endoftext|>", ranks);
    }
  }

  // Llama 3 has 256 special tokens. The reserved ones are numbered.
  void add_llama3_tokens(size_t first) {
    int reserved = 0;
    for (size_t i = 0; i < 256; ++i) {
      const std::string content = i == 0   ? "<|begin_of_text|>"
                                  : i == 1 ? "<|end_of_text|>"
                                  : i == 6 ? "<|start_header_id|>"
                                  : i == 7 ? "<|end_header_id|>"
                                  : i == 9 ? "<|eot_id|>"
                                           : text("<|reserved_special_token_", reserved++, "|>");
      add_special(content, first + i);
    }
  }

  std::filesystem::path path_;
  std::unordered_map<std::string_view, int32_t> ids_;  // views of out_.tokens, which no longer grow
  Vocabulary out_;
};

}  // namespace

Vocabulary read_rank_file(const std::filesystem::path& path, SplitPattern pattern) {
  return RankFileReader(path).read(pattern);
}

}  // namespace gptmoe
