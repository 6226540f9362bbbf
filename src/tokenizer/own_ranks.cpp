#include "tokenizer/own_ranks.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>

namespace gptmoe {
namespace {

class LastMerges {
 public:
  explicit LastMerges(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
    for (size_t id = 0; id < vocabulary.tokens.size(); ++id)
      if (const std::string& token = vocabulary.tokens[id]; token.size() == 1)
        byte_ids_[static_cast<unsigned char>(token[0])] = static_cast<int32_t>(id);
    for (const Merge& merge : vocabulary.merges) merges_[key(merge.left, merge.right)] = &merge;
  }

  // The last merge that makes the token from its bytes alone; nullopt if its bytes do not become the token.
  std::optional<Merge> of(int32_t token) const {
    std::vector<int32_t> parts;
    for (const char byte : vocabulary_.tokens[static_cast<size_t>(token)])
      parts.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
    const Merge* last = nullptr;
    while (parts.size() > 1) {
      size_t at = 0;
      last = nullptr;
      for (size_t i = 0; i + 1 < parts.size(); ++i)
        if (const auto found = merges_.find(key(parts[i], parts[i + 1])); found != merges_.end())
          if (!last || found->second->rank < last->rank) {
            last = found->second;
            at = i;
          }
      if (!last) return std::nullopt;
      parts[at] = last->result;
      parts.erase(parts.begin() + static_cast<int64_t>(at) + 1);
    }
    if (!last || parts[0] != token) return std::nullopt;
    return *last;
  }

 private:
  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }

  const Vocabulary& vocabulary_;
  std::array<int32_t, 256> byte_ids_{};
  std::unordered_map<uint64_t, const Merge*> merges_;
};

}  // namespace

std::vector<Merge> merges_with_own_ranks(const Vocabulary& vocabulary) {
  const std::vector<Merge>& all = vocabulary.merges;
  const auto same_rank = [](const Merge& a, const Merge& b) { return a.rank == b.rank; };
  if (std::adjacent_find(all.begin(), all.end(), same_rank) == all.end()) return all;
  const LastMerges last_merges(vocabulary);
  std::vector<Merge> merges;
  for (size_t i = 0; i < all.size(); ++i)
    if (i == 0 || all[i].rank != all[i - 1].rank)
      if (const std::optional<Merge> last = last_merges.of(all[i].result)) merges.push_back(*last);
  return merges;
}

}  // namespace gptmoe
