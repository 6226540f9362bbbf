#pragma once
#include "config/config.h"

namespace gptmoe {

// The sequences of a step that each of `ranks` ranks processes. Throws UserError if the ranks cannot share
// train.global_batch_size equally.
int64_t sequences_per_rank(const Config& config, int ranks);

// Returns `config` as each of `ranks` ranks uses it. If train.micro_batch_size exceeds the rank's share of
// train.global_batch_size, it is lowered to that share. The size must be a number, not "auto". Throws UserError if the
// ranks cannot share the batch equally.
Config config_for_rank(const Config& config, int ranks);

}  // namespace gptmoe
