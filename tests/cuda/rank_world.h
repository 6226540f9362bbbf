#pragma once
#include "distributed/world.h"

namespace gptmoe {

// The ranks that this test program was started with; a single rank without a launcher. Every rank has its GPU as the
// current device.
World& rank_world();

}  // namespace gptmoe
