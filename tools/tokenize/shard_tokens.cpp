#include "shard_tokens.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace gptmoe {

Shard open_shard(const std::string& path) {
  if (access(path.c_str(), R_OK) != 0)
    user_error(path, ": cannot open: ", std::strerror(errno), "; name a shard that can be read");
  return Shard(path);
}

void check_ids(const Shard& shard, int64_t first, const std::vector<int32_t>& ids, const Tokenizer& tokenizer) {
  const auto unknown = std::find_if(ids.begin(), ids.end(), [&](int32_t id) { return !tokenizer.knows(id); });
  if (unknown != ids.end())
    user_error(shard.path().string(), ": token ", first + (unknown - ids.begin()), " has id ",
               static_cast<uint32_t>(*unknown), ", unknown to this tokenizer of ", tokenizer.vocab_size(),
               " entries; use the tokenizer that wrote the shard");
}

}  // namespace gptmoe
