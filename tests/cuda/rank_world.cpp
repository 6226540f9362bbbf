#include "cuda/rank_world.h"

#include "kernels/ops.h"
#if defined(GPTMOE_SIMT) && defined(GPTMOE_NCCL)
#include "simt/nccl_stand_in.h"
#endif

namespace gptmoe {

World& rank_world() {
  static const std::unique_ptr<World> world = [] {
    auto joined = make_single_world();
#ifndef GPTMOE_SIMT
    use_cuda_device(joined->local_rank(), joined->local_size());
#elif defined(GPTMOE_NCCL)
    simt::set_nccl_world(joined.get());
#endif
    return joined;
  }();
  return *world;
}

}  // namespace gptmoe
