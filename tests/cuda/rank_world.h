#pragma once
#include "distributed/world.h"

namespace gptmoe {

// The ranks that this test program was started as, each with its GPU as the current device: one without a launcher.
World& rank_world();

}  // namespace gptmoe
