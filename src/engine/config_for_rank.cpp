#include "engine/config_for_rank.h"

#include <algorithm>

#include "base/check.h"

namespace gptmoe {

int64_t sequences_per_rank(const Config& config, int ranks) {
  const int64_t sequences = config.train.global_batch_size;
  if (sequences % ranks != 0)
    user_error("train.global_batch_size: ", sequences, " sequences cannot be shared equally by ", ranks,
               " ranks; make it a multiple of ", ranks, ", or change the number of ranks");
  return sequences / ranks;
}

Config config_for_rank(const Config& config, int ranks) {
  const int64_t share = sequences_per_rank(config, ranks);
  GPTMOE_CHECK(!config.train.auto_micro_batch(), "no micro-batch size has been chosen");
  Config own = config;
  own.train.micro_batch_size = std::min(config.train.micro_batch_size, share);
  if (share % own.train.micro_batch_size != 0)
    user_error("train.micro_batch_size: ", config.train.micro_batch_size, " does not divide the ", share,
               " sequences per step of each of ", ranks,
               " ranks; add --set train.micro_batch_size=N, with an N that does");
  return own;
}

}  // namespace gptmoe
