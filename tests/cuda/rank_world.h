#pragma once
#include "distributed/world.h"

namespace gptmoe {

// The ranks that this test program was started with; without a launcher, a single rank. Every rank has its GPU as the
// current device.
World& rank_world();

}  // namespace gptmoe
