#include "engine/config_for_rank.h"

#include <algorithm>

#include "base/check.h"

namespace gptmoe {

Config config_for_rank(const Config& config, int ranks) {
  const int64_t sequences = config.train.global_batch_size, share = sequences / ranks;
  if (sequences % ranks != 0)
    user_error("train.global_batch_size: ", sequences, " sequences cannot be shared equally by ", ranks,
               " ranks; make it a multiple of ", ranks, ", or change the number of ranks");
  Config own = config;
  own.train.micro_batch_size = std::min(config.train.micro_batch_size, share);
  if (share % own.train.micro_batch_size != 0)
    user_error("train.micro_batch_size: ", config.train.micro_batch_size, " does not divide the ", share,
               " sequences per step of each of ", ranks, " ranks; choose one that does");
  return own;
}

}  // namespace gptmoe
