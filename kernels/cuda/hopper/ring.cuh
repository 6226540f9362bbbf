#pragma once
// A ring of stages in shared memory between warps that fill them and warps that use them. Both walk through the ring in
// the same order:
//   full    ends a phase when a stage's contents are there: the arrivals of those who fill it, and their bulk copies
//   empty   ends a phase when all who use a stage are done with it
// Compute capability 9.0a.
#include "kernels/cuda/hopper/bulk_copy.cuh"
#include "kernels/cuda/hopper/warp_roles.cuh"
#include "kernels/cuda/warps.cuh"

namespace gptmoe::cuda::hopper {

// Whether this compilation is for a GPU that has the instructions of this folder. Kernels are empty without them.
#if defined(GPTMOE_SIMT) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
constexpr bool kHasInstructions = true;
#else
constexpr bool kHasInstructions = false;
#endif

constexpr int kWarpgroup = 4 * kWarp;
__device__ inline int warpgroup_index() { return static_cast<int>(threadIdx.x) / kWarpgroup; }

template <int kStages_>
struct Ring {
  static constexpr int kStages = kStages_;
  Mbarrier full[kStages], empty[kStages];

  // One thread calls this before a __syncthreads(). A stage is full after `fills` arrivals, and empty after `uses`.
  __device__ void init(uint32_t fills, uint32_t uses) {
    for (int i = 0; i < kStages; ++i) {
      mbarrier_init(&full[i], fills);
      mbarrier_init(&empty[i], uses);
    }
    fence_async_proxy();
  }
};

// A thread's place in a ring. It begins at stage 0.
template <typename StageRing>
class Walk {
 public:
  __device__ explicit Walk(StageRing& ring) : ring_(ring) {}

  __device__ int stage() const { return stage_; }
  __device__ Mbarrier* full() const { return &ring_.full[stage_]; }
  __device__ void wait_full() const { mbarrier_wait(full(), round_); }
  __device__ void wait_empty() const { mbarrier_wait(&ring_.empty[stage_], round_ ^ 1); }
  // The warp no longer uses the stage before this one.
  __device__ void release_previous() const {
    const int previous = stage_ == 0 ? StageRing::kStages - 1 : stage_ - 1;
    if (lane_index() == 0) mbarrier_arrive(&ring_.empty[previous]);
  }
  __device__ void next() {
    if (++stage_ < StageRing::kStages) return;
    stage_ = 0;
    round_ ^= 1;
  }

 private:
  StageRing& ring_;
  int stage_ = 0;
  uint32_t round_ = 0;  // modulo 2
};

// Fills the stages of a ring. One warp starts bulk copies. If kGathers, all warps of the warpgroup also copy by
// cp.async, which can read rows that are anywhere in memory.
template <typename StageRing, bool kGathers>
class Filler {
 public:
  // Arrivals that fill a stage: the thread that starts bulk copies, and each warp that gathers.
  static constexpr uint32_t kFills = kGathers ? 5 : 1;

  __device__ explicit Filler(StageRing& ring)
      : ahead_(ring), behind_(ring), elected_(elect_one() && warp_index() == 0) {}

  // Fills the next stage. load(stage, full) starts bulk copies of `bytes` bytes in one thread, and copy(stage) starts
  // this thread's part of the gathered operand.
  template <typename Load, typename Copy>
  __device__ void fill(uint32_t bytes, Load load, Copy copy) {
    if (kGathers || elected_) ahead_.wait_empty();
    if (elected_) {
      mbarrier_arrive_expect(ahead_.full(), bytes);
      load(ahead_.stage(), ahead_.full());
    }
    if constexpr (kGathers) {
      copy(ahead_.stage());
      cp_async_commit();
      if (++under_way_ > kMostUnderWay) arrive<kMostUnderWay>();
    }
    ahead_.next();
  }
  // After the last stage.
  __device__ void finish() {
    if constexpr (kGathers)
      while (under_way_ > 0) arrive<0>();
  }

 private:
  // Stages whose copies are under way while the next one is begun. They are not full yet. Those who use the ring need
  // the next stage to release one, so at most kStages - 2 stages may wait here.
  static constexpr int kMostUnderWay = 2;
  static_assert(kMostUnderWay <= StageRing::kStages - 2);

  // Announces the oldest stage under way, once at most kLater later ones are incomplete. wgmma reads it by the async
  // proxy.
  template <int kLater>
  __device__ void arrive() {
    cp_async_wait<kLater>();
    fence_async_proxy();
    __syncwarp();
    if (lane_index() == 0) mbarrier_arrive(behind_.full());
    behind_.next();
    --under_way_;
  }

  Walk<StageRing> ahead_, behind_;
  bool elected_;
  int under_way_ = 0;
};

}  // namespace gptmoe::cuda::hopper
