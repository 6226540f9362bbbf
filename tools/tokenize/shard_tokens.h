#pragma once
// Iteration over the tokens of a shard.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "data/shard_file.h"
#include "tokenizer/tokenizer.h"

namespace gptmoe {

// Calls visit(first, ids) for successive parts of the shard.
template <typename Visit>
void for_each_stretch(const Shard& shard, Visit visit) {
  constexpr int64_t kStretch = 1 << 20;
  std::vector<int32_t> ids;
  for (int64_t first = 0; first < shard.size(); first += kStretch) {
    ids.resize(static_cast<size_t>(std::min(kStretch, shard.size() - first)));
    shard.copy(first, std::ssize(ids), ids.data());
    visit(first, ids);
  }
}

// Throws UserError with a remedy if the file does not exist or cannot be read.
Shard open_shard(const std::string& path);

// Throws UserError naming shard, token and id if the tokenizer does not know one.
void check_ids(const Shard& shard, int64_t first, const std::vector<int32_t>& ids, const Tokenizer& tokenizer);

}  // namespace gptmoe
