// decode and inspect: commands that read a shard.
#include <algorithm>
#include <cstdio>

#include "base/check.h"
#include "base/progress.h"
#include "commands.h"
#include "data/shard_file.h"
#include "data/tokenizer_file.h"

namespace gptmoe {
namespace {

constexpr int64_t kChunkTokens = 1 << 20;
constexpr int64_t kPreviewTokens = 32;

// Calls visit(first, ids) for successive pieces of the shard.
template <typename Visit>
void for_each_chunk(const Shard& shard, Visit visit) {
  std::vector<int32_t> ids;
  for (int64_t first = 0; first < shard.size(); first += kChunkTokens) {
    ids.resize(static_cast<size_t>(std::min(kChunkTokens, shard.size() - first)));
    shard.copy(first, std::ssize(ids), ids.data());
    visit(first, ids);
  }
}

void check_ids(const Shard& shard, int64_t first, const std::vector<int32_t>& ids, const Tokenizer& tokenizer) {
  for (size_t i = 0; i < ids.size(); ++i)
    if (!tokenizer.knows(ids[i]))
      user_error(shard.path().string(), ": token ", first + static_cast<int64_t>(i), " has id ",
                 static_cast<uint32_t>(ids[i]), ", unknown to this tokenizer of ", tokenizer.vocab_size(),
                 " entries; give the tokenizer that wrote the shard");
}

// Control characters would disturb the terminal and the one-line form.
std::string one_line(const std::string& bytes) {
  std::string out;
  for (char c : bytes)
    out += c == '\n' ? std::string("\\n") : std::string(1, static_cast<unsigned char>(c) < 32 ? '?' : c);
  return out;
}

}  // namespace

void decode_command(const std::filesystem::path& tokenizer_path, const std::filesystem::path& shard_path) {
  const Tokenizer tokenizer = load_tokenizer(tokenizer_path);
  const Shard shard(shard_path);
  int64_t bytes = 0;
  for_each_chunk(shard, [&](int64_t first, const std::vector<int32_t>& ids) {
    check_ids(shard, first, ids, tokenizer);
    const std::string decoded = tokenizer.decode(ids);
    if (std::fwrite(decoded.data(), 1, decoded.size(), stdout) != decoded.size())
      throw Failure("standard output: cannot write the decoded text");
    bytes += std::ssize(decoded);
  });
  if (std::fflush(stdout) != 0) throw Failure("standard output: cannot write the decoded text");
  std::fprintf(stderr, "%s: %s tokens, %s of text\n", shard_path.c_str(), grouped_digits(shard.size()).c_str(),
               binary_bytes(bytes).c_str());
}

void inspect_command(const std::filesystem::path& shard_path, const std::filesystem::path& tokenizer_path) {
  const Shard shard(shard_path);
  uint32_t lowest = UINT32_MAX, highest = 0;
  for_each_chunk(shard, [&](int64_t, const std::vector<int32_t>& ids) {
    for (int32_t id : ids) {
      lowest = std::min(lowest, static_cast<uint32_t>(id));
      highest = std::max(highest, static_cast<uint32_t>(id));
    }
  });
  std::string summary = text(shard_path.string(), ": ", grouped_digits(shard.size()), " tokens, uint",
                             shard.format().token_bytes * 8, " (version ", shard.format().version, ")");
  if (shard.size() > 0) summary += text(", ids ", lowest, " to ", highest);
  if (!tokenizer_path.empty()) {
    const Tokenizer tokenizer = load_tokenizer(tokenizer_path);
    int64_t ends = 0, bytes = 0;
    for_each_chunk(shard, [&](int64_t first, const std::vector<int32_t>& ids) {
      check_ids(shard, first, ids, tokenizer);
      if (tokenizer.end_of_text()) ends += std::count(ids.begin(), ids.end(), *tokenizer.end_of_text());
      bytes += std::ssize(tokenizer.decode(ids));
    });
    std::vector<int32_t> start(static_cast<size_t>(std::min(kPreviewTokens, shard.size())));
    shard.copy(0, std::ssize(start), start.data());
    summary += text(", ", grouped_digits(ends), " ends of text, ", binary_bytes(bytes), " of text, begins \"",
                    one_line(tokenizer.decode(start)), "\"");
  }
  std::puts(summary.c_str());
}

}  // namespace gptmoe
