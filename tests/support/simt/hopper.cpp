#include "simt/hopper.h"

#include <algorithm>
#include <memory>
#include <string>

#include "simt/bulk_copies.h"
#include "simt/runtime.h"
#include "simt/warpgroups.h"

namespace simt {
namespace {

constexpr uint32_t kAllLanes = 0xFFFFFFFF;

// The state of a block for the instructions of this file.
struct HopperBlock final : BlockState {
  AsyncProxy proxy{shared_memory(), shared_bytes()};
  Mbarriers barriers;
  BulkCopies copies{proxy, barriers};
  Warpgroups warpgroups{proxy, threads_of_block()};

  bool advance(bool stuck) override {
    if (!copies.any_load()) return false;
    if (!stuck && (current_timing() != Timing::interleaved || random_below(4) != 0)) return false;
    copies.complete_one();
    return true;
  }
  void end() override {
    warpgroups.end();
    copies.end();
    barriers.end();
  }
};

HopperBlock& block() {
  auto& state = block_state();
  if (!state) state = std::make_unique<HopperBlock>();
  return static_cast<HopperBlock&>(*state);
}

int warp_number() { return thread_number() / kWarpSize; }

TensorMap::Place place_of(std::initializer_list<int> at) {
  TensorMap::Place place{};
  std::copy(at.begin(), at.end(), place.begin());
  return place;
}

// Each function does the work of a warp. warp_collective() calls it when all lanes have arrived.
void do_nothing(void* const[kWarpSize]) {}
void multiply_step(void* const lanes[kWarpSize]) { block().warpgroups.multiply(warp_number(), lanes); }
void fence_step(void* const[kWarpSize]) { block().warpgroups.fence(warp_number()); }
void commit_step(void* const[kWarpSize]) { block().warpgroups.commit(warp_number()); }
void wait_step(void* const lanes[kWarpSize]) { block().warpgroups.wait(warp_number(), *static_cast<int*>(lanes[0])); }

struct Wait {
  HopperBlock* block;
  void* barrier;
  uint32_t parity;
  int thread;
};
struct Registers {
  int count;
  bool more;
  int warp;
  bool taken;
};
void registers_step(void* const lanes[kWarpSize]) {
  const auto& registers = *static_cast<Registers*>(lanes[0]);
  block().warpgroups.set_registers(registers.warp, registers.count, registers.more);
}

}  // namespace

uint32_t descriptor_address(const void* start, uint32_t leading, uint32_t stride) {
  const uint32_t address = kWindowStart + static_cast<uint32_t>(block().proxy.offset_of(start, "a descriptor"));
  for (const uint32_t field : {address, leading, stride})
    if (field % 16 != 0 || field >= 1u << 18)
      fault("a descriptor cannot hold " + std::to_string(field) + ": its fields are multiples of 16 below 2^18");
  return address;
}

void mbarrier_init(void* barrier, uint32_t arrivals) {
  block().proxy.offset_of(barrier, "mbarrier.init");
  block().barriers.init(barrier, arrivals);
}
void mbarrier_arrive(void* barrier, uint32_t expected_bytes) { block().barriers.arrive(barrier, expected_bytes); }
bool mbarrier_try_wait(void* barrier, uint32_t parity) {
  Wait wait{&block(), barrier, parity, thread_number()};
  const auto ended = [](void* context) {
    const auto* own = static_cast<Wait*>(context);
    return own->block->barriers.ended(own->barrier, own->parity);
  };
  if (!ended(&wait)) {
    if (current_timing() == Timing::interleaved && random_below(4) == 0) {  // the wait has timed out
      give_way();
      return false;
    }
    wait_until(
        ended,
        [](void* context) {
          const auto* own = static_cast<Wait*>(context);
          return own->block->barriers.describe(own->barrier, own->thread);
        },
        &wait);
  }
  block().barriers.seen(barrier);
  return true;
}

void fence_async_proxy() { block().proxy.fence(); }
void bulk_load(void* to, const void* from, uint32_t bytes, void* barrier) {
  block().copies.load(to, from, bytes, barrier);
}
void tensor_load(void* to, const CUtensorMap& map, std::initializer_list<int> at, void* barrier) {
  block().copies.load(to, TensorMap::decode(map, at.size()), place_of(at), barrier);
}
void tensor_store(const CUtensorMap& map, std::initializer_list<int> at, const void* from) {
  block().copies.store(TensorMap::decode(map, at.size()), place_of(at), from);
}
void bulk_commit() { block().copies.commit(); }
void bulk_wait_read(int groups) { block().copies.wait_read(groups); }

void wgmma(const Wgmma& operands) {
  Wgmma own = operands;
  warp_collective(kAllLanes, "wgmma.mma_async", multiply_step, &own);
}
void wgmma_fence() {
  int nothing = 0;
  warp_collective(kAllLanes, "wgmma.fence", fence_step, &nothing);
}
void wgmma_commit() {
  int nothing = 0;
  warp_collective(kAllLanes, "wgmma.commit_group", commit_step, &nothing);
}
void wgmma_wait(int groups) { warp_collective(kAllLanes, "wgmma.wait_group", wait_step, &groups); }

bool elect_one() {
  int nothing = 0;
  warp_collective(kAllLanes, "elect.sync", do_nothing, &nothing);
  return lane() == (11 + warp_number() * 7) % kWarpSize;  // any lane will do
}

void named_barrier(int id, int threads) {
  if (threads <= 0 || threads % kWarpSize != 0) fault("bar.sync for " + std::to_string(threads) + " threads");
  barrier(id, threads);
}

void set_registers(int count, bool more) {
  Registers own{count, more, warp_number(), false};
  warp_collective(kAllLanes, "setmaxnreg", registers_step, &own);
  if (!more) return;
  // The first lane takes the registers of its warp, and the others wait for it.
  if (lane() == 0)
    wait_until(
        [](void* context) {
          auto& registers = *static_cast<Registers*>(context);
          if (!registers.taken) registers.taken = block().warpgroups.take_registers(registers.warp, registers.count);
          return registers.taken;
        },
        [](void*) { return "for registers (" + std::to_string(block().warpgroups.free_registers()) + " are free)"; },
        &own);
  warp_collective(kAllLanes, "setmaxnreg", do_nothing, &own);
}

}  // namespace simt
