#pragma once
#include "config/config.h"

namespace gptmoe {

// `config` for each of `ranks` ranks: train.micro_batch_size is lowered to the rank's share of train.global_batch_size
// if it is larger. Throws UserError if the ranks cannot share the batch equally.
Config config_for_rank(const Config& config, int ranks);

}  // namespace gptmoe
