#include "cuda/rank_world.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "kernels/ops.h"
#ifdef GPTMOE_SIMT
#include "simt/simulated_device.h"
#ifdef GPTMOE_NCCL
#include "simt/nccl/nccl_stand_in.h"
#endif
#endif

namespace gptmoe {

World& rank_world() {
  static const std::unique_ptr<World> world = [] {
    auto joined = join_world();
    if (joined->size() > 1) {
      std::printf("rank %d of %d\n", joined->rank(), joined->size());
      // A rank that leaves a test early would make later collectives wait forever, so the first failure ends all ranks.
      GTEST_FLAG_SET(break_on_failure, true);
    }
#ifdef GPTMOE_SIMT
    simt::simulated_device.count = joined->local_size();
#ifdef GPTMOE_NCCL
    simt::set_nccl_world(joined.get());
#endif
#endif
    use_cuda_device(joined->local_rank(), joined->local_size());
    return joined;
  }();
  return *world;
}

}  // namespace gptmoe
