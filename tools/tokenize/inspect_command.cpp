#include <cstdio>
#include <optional>

#include "base/check.h"
#include "base/printable.h"
#include "base/progress.h"
#include "commands.h"
#include "data/shard_seals.h"
#include "shard_tokens.h"
#include "tokenizer/utf8.h"
#include "wording.h"

namespace gptmoe {
namespace {

constexpr int64_t kPreviewTokens = 32;

// Control characters and incomplete characters would disturb the terminal and the one-line form.
std::string one_line(const std::string& bytes) {
  std::string out;
  for (char c : replace_malformed(bytes)) {
    if (c == '\n')
      out += "\\n";
    else
      out += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  }
  return out;
}

std::string describe_header(const Shard& shard) {
  uint32_t lowest = UINT32_MAX, highest = 0;
  for_each_stretch(shard, [&](int64_t, const std::vector<int32_t>& ids) {
    for (int32_t id : ids) {
      lowest = std::min(lowest, static_cast<uint32_t>(id));
      highest = std::max(highest, static_cast<uint32_t>(id));
    }
  });
  std::string line = text(shard.path().string(), ": ", plural(shard.size(), "token"), ", uint",
                          shard.format().token_bytes * 8, " (version ", shard.format().version, ")");
  if (shard.size() > 0) line += text(", ids ", lowest, " to ", highest);
  return line;
}

// Describes the text by the lengths of the tokens, without decoding it.
std::string describe_text(const Shard& shard, const Tokenizer& tokenizer) {
  std::vector<int32_t> bytes_of;
  for (const std::string& token : tokenizer.vocabulary().tokens) bytes_of.push_back(static_cast<int32_t>(token.size()));
  int64_t ends = 0, bytes = 0;
  for_each_stretch(shard, [&](int64_t first, const std::vector<int32_t>& ids) {
    check_ids(shard, first, ids, tokenizer);
    for (int32_t id : ids) {
      const bool end = id == tokenizer.end_of_text();
      ends += end;
      bytes += end ? 0 : bytes_of[static_cast<size_t>(id)];
    }
  });
  std::vector<int32_t> start(static_cast<size_t>(std::min(kPreviewTokens, shard.size())));
  shard.copy(0, std::ssize(start), start.data());
  return text(", ", grouped_digits(ends), ends == 1 ? " end" : " ends", " of text, ", binary_bytes(bytes),
              " of text, begins \"", one_line(tokenizer.decode(start)), "\"");
}

std::string describe_seal(const Shard& shard, ShardSeals& seals) {
  if (!seals.find(shard.path())) return text(", not listed in a ", kManifestName, ", so its content cannot be checked");
  seals.require_whole(shard);
  return text(", matches ", kManifestName);
}

}  // namespace

int inspect_command(const TokenizerChoice& choice, const std::vector<std::string>& paths) {
  std::optional<Tokenizer> tokenizer;
  if (!choice.path.empty()) tokenizer.emplace(load_tokenizer(choice.path, choice.options));
  ShardSeals seals;
  for (const std::string& path : paths) {
    const Shard shard = open_shard(path);
    const std::string seal = describe_seal(shard, seals);  // checked first: a damaged shard may have unknown ids
    std::string line = describe_header(shard);
    if (tokenizer) line += describe_text(shard, *tokenizer);
    std::puts(printable(line + seal).c_str());
  }
  return 0;
}

}  // namespace gptmoe
