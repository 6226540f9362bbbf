#pragma once
#include "config/config.h"

namespace gptmoe {

// `config` as each of `ranks` trains by it: train.micro_batch_size is lowered to the rank's share of
// train.global_batch_size where it is larger. Throws UserError where the ranks cannot share the batch alike.
Config config_for_rank(const Config& config, int ranks);

}  // namespace gptmoe
