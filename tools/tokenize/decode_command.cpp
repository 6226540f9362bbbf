#include <cstdio>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/printable.h"
#include "base/progress.h"
#include "commands.h"
#include "data/shard_seals.h"
#include "shard_tokens.h"
#include "tokenizer/utf8.h"
#include "wording.h"

namespace gptmoe {
namespace {

void put(std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size()) flush_standard_output();
}

// Documents in a series of shards. Each ends with the end-of-text token or at the end of the last shard.
class DocumentLines {
 public:
  DocumentLines(const Tokenizer& tokenizer, const std::vector<Shard>& shards) : tokenizer_(tokenizer), shards_(shards) {
    if (!tokenizer.end_of_text())
      user_error("the tokenizer has no ", kEndOfText,
                 " token to end documents with; use --end-of-text to name the token that it uses instead");
  }

  // Adds the next tokens, which start at `first` of shard number `shard`.
  void add(size_t shard, int64_t first, const std::vector<int32_t>& ids) {
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == tokenizer_.end_of_text()) {
        end_document();
        begin_ = {shard, first + static_cast<int64_t>(i) + 1};
      } else {
        text_ += tokenizer_.vocabulary().tokens[static_cast<size_t>(ids[i])];
      }
    }
  }
  // Empty documents get no line: shards from other programs begin with an end-of-text token.
  void end_document() {
    if (text_.empty()) return;
    if (const size_t malformed = find_malformed(text_); malformed != std::string::npos) refuse(malformed);
    put("{\"text\": " + nlohmann::json(text_).dump() + "}\n");
    bytes_ += std::ssize(text_);
    ++documents_;
    text_.clear();
  }
  int64_t documents() const { return documents_; }
  int64_t bytes() const { return bytes_; }

 private:
  struct Place {
    size_t shard;
    int64_t token;
  };

  [[noreturn]] void refuse(size_t malformed) const {
    Place place = begin_;
    for (size_t end = 0;; ++place.token) {
      while (place.token == shards_[place.shard].size()) place = {place.shard + 1, 0};
      end += tokenizer_.vocabulary().tokens[shards_[place.shard].token(place.token)].size();
      if (end > malformed) break;
    }
    user_error(shards_[place.shard].path().string(), ": token ", place.token,
               ": its text is not valid UTF-8, which JSON cannot hold; decode without --jsonl");
  }

  const Tokenizer& tokenizer_;
  const std::vector<Shard>& shards_;
  std::string text_;
  Place begin_ = {0, 0};  // of text_
  int64_t documents_ = 0, bytes_ = 0;
};

}  // namespace

int decode_command(const TokenizerChoice& choice, const std::vector<std::string>& paths, bool json_lines) {
  const Tokenizer tokenizer = load_tokenizer(choice.path, choice.options);
  std::vector<Shard> shards;
  shards.reserve(paths.size());
  int64_t tokens = 0, bytes = 0;
  ShardSeals seals;
  for (const std::string& path : paths) {
    const Shard& shard = shards.emplace_back(open_shard(path));
    seals.require_samples(shard, shard.checksum());
    tokens += shard.size();
  }

  std::optional<DocumentLines> lines;
  if (json_lines) lines.emplace(tokenizer, shards);
  for (size_t i = 0; i < shards.size(); ++i)
    for_each_stretch(shards[i], [&](int64_t first, const std::vector<int32_t>& ids) {
      check_ids(shards[i], first, ids, tokenizer);
      if (lines) {
        lines->add(i, first, ids);
      } else {
        const std::string decoded = tokenizer.decode(ids);
        put(decoded);
        bytes += std::ssize(decoded);
      }
    });
  if (lines) {
    lines->end_document();
    bytes = lines->bytes();
  }
  flush_standard_output();
  std::fprintf(stderr, "%s: %s%s, %s of text\n",
               paths.size() == 1 ? printable(paths[0]).c_str() : plural(std::ssize(paths), "shard").c_str(),
               lines ? (plural(lines->documents(), "document") + ", ").c_str() : "", plural(tokens, "token").c_str(),
               binary_bytes(bytes).c_str());
  return 0;
}

}  // namespace gptmoe
