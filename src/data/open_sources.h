#pragma once
// The data that a config names.
#include <string>
#include <vector>

#include "config/config.h"
#include "data/batches.h"

namespace gptmoe {

// Opens data.train for one rank of `world_size`. A source without a weight has a share in proportion to its windows
// times its epochs. Throws what TokenLoader's constructor throws.
BatchLoader open_training_data(const Config& config, int rank = 0, int world_size = 1);

// Opens `sources` for evaluation, in file order. Throws what TokenLoader's constructor throws.
std::vector<NamedText> open_texts(const DataSources& sources, int64_t sequence_length, int64_t vocab_size);

}  // namespace gptmoe
