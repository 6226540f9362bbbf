#pragma once
// Finds data races in a block's shared memory, by the rules of CUDA's memory model. Two accesses to the same place race
// if different threads make them, at least one writes, not both are atomic, and nothing orders them: there is no
// __syncthreads() between them and, within a warp, no __syncwarp(). A place is two bytes, the smallest element of our
// kernels. A cp.async writes from its issue to the wait for its group, and during that time no thread may read or write
// its destination.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace simt {

class SharedAccesses {
 public:
  struct Accessor {
    int thread, warp;
  };
  enum class Kind { read, write, atomic };

  // Begins a block: forgets all accesses.
  void start(const std::byte* memory, size_t bytes, size_t warps);
  void block_synchronised() { block_sync_ = ++clock_; }
  void warp_synchronised(int warp) { warp_syncs_[static_cast<size_t>(warp)] = ++clock_; }

  bool contains(const void* address) const {
    return address >= memory_ && address < static_cast<const void*>(memory_ + bytes_);
  }
  // Notes an access to `bytes` bytes at `address`, for which contains() is true.
  void access(const void* address, size_t bytes, Kind kind, Accessor by);
  void copy_starts(const void* to, size_t bytes, Accessor by);
  void copy_ends(const void* to, size_t bytes, Accessor by);

  // The first race of the block, in words; empty if there is none.
  const std::string& race() const { return race_; }

 private:
  struct Access {
    int thread = -1, warp = -1;
    uint64_t time = 0;
  };
  // One line of the cache: every access of a kernel to shared memory reads and writes a place.
  struct alignas(64) Place {
    Access write, read;  // the latest ones
    // The warps that have read the place, and those that have changed it atomically, since the block last synchronised.
    uint32_t readers = 0, changers = 0;
    uint64_t since = 0;  // when these two were last cleared
    uint64_t copy_time = 0;
    int copier = -1;      // the thread whose cp.async is under way
    bool atomic = false;  // whether the latest write was atomic
  };

  bool ordered(const Access& earlier, Accessor later) const {
    return earlier.thread == later.thread || earlier.time < block_sync_ ||
           (earlier.warp == later.warp && earlier.time < warp_syncs_[static_cast<size_t>(later.warp)]);
  }
  void report(const Place& place, const char* does, const std::string& other, Accessor by);

  const std::byte* memory_ = nullptr;
  size_t bytes_ = 0;
  template <typename Visit>
  void for_each_place(const void* address, size_t bytes, Visit visit);

  static constexpr size_t kPlaceBytes = 2;
  std::vector<Place> places_;
  std::vector<uint64_t> warp_syncs_;  // when each warp was last synchronised
  uint64_t clock_ = 0, block_start_ = 0, block_sync_ = 0;
  std::string race_;
};

}  // namespace simt
