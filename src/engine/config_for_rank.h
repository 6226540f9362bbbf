#pragma once
#include "config/config.h"

namespace gptmoe {

// Returns `config` as each of `ranks` ranks uses it. If train.micro_batch_size exceeds the rank's share of
// train.global_batch_size, it is lowered to that share. Throws UserError if the ranks cannot share the batch equally.
Config config_for_rank(const Config& config, int ranks);

}  // namespace gptmoe
