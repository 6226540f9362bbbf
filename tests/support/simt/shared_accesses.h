#pragma once
// Finds data races in a block's shared memory, by the rules of CUDA's memory model. Two accesses to the same place race
// if different threads make them, at least one writes, not both are atomic, and nothing orders them. They are ordered
// by a __syncthreads() between them, by a __syncwarp() if both threads are in one warp, and by a chain of named
// barriers and mbarriers from one thread to the other. A place is two bytes, the smallest element of our kernels. A
// cp.async writes from its issue to the wait for its group. A bulk copy writes from its issue until its bytes reach its
// mbarrier. During that time no thread may read or write the destination.
//
// Some races are missed. Only the latest of a warp's reads is kept, and it counts as ordered by an mbarrier or a named
// barrier if any lane of the warp arrived there later. If a block uses mbarriers or named barriers of a part of the
// block, an atomic change is compared only with the next access to its place.
#include <array>
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
  // The accesses that come before an event: those that thread t made before time past[t]. The last element is the time
  // for bulk copies.
  using Past = std::vector<uint64_t>;

  // Begins a block: forgets all accesses.
  void start(const std::byte* memory, size_t bytes, size_t warps);
  void block_synchronised() { block_sync_ = ++clock_; }
  void warp_synchronised(int warp);
  void synchronised(const std::vector<int>& threads);  // at a named barrier
  // `thread`, or a bulk copy, arrives at an mbarrier. Adds the accesses before this arrival to `past`, which are those
  // before the end of the mbarrier's phase.
  void thread_arrives(int thread, Past& past);
  void copy_arrives(Past& past);
  // Notes that all later accesses of `thread` come after `past`.
  void follows(int thread, const Past& past);

  bool contains(const void* address) const {
    return address >= memory_ && address < static_cast<const void*>(memory_ + bytes_);
  }
  // Notes an access to `bytes` bytes at `address`, for which contains() is true.
  void access(const void* address, size_t bytes, Kind kind, Accessor by);
  void copy_starts(const void* to, size_t bytes, Accessor by);
  void copy_ends(const void* to, size_t bytes, Accessor by);
  void bulk_copy_ends(const void* to, size_t bytes);
  // wgmma reads for a whole warp. An earlier write must be ordered before at least one lane of the warp.
  void warp_reads(const void* address, size_t bytes, int warp);

  // Whether threads or copies have written any of these bytes, as far as accesses are traced.
  bool written(const void* address, size_t bytes);

  // The first race of the block, in words; empty if there is none.
  const std::string& race() const { return race_; }

 private:
  struct Access {
    int thread = -1, warp = -1;
    uint64_t time = 0;
  };
  // Fills one cache line, because every access of a kernel to shared memory reads and writes a Place.
  struct alignas(64) Place {
    Access write, read;  // the latest ones
    // The warps that have read the place, and those that have changed it atomically, since the block last synchronised.
    uint32_t readers = 0, changers = 0;
    uint64_t since = 0;  // when these two were last cleared
    uint64_t copy_time = 0;
    int copier = -1;      // the thread whose cp.async is under way
    bool atomic = false;  // whether the latest write was atomic
  };

  static_assert(sizeof(Place) == 64);

  bool ordered(const Access& earlier, Accessor later) const {
    return earlier.thread == later.thread || earlier.time < block_sync_ ||
           (earlier.warp == later.warp && earlier.time < warp_syncs_[static_cast<size_t>(later.warp)]) ||
           (!pasts_.empty() && earlier.time < pasts_[static_cast<size_t>(later.thread)][column(earlier.thread)]);
  }
  // Whether the latest reads of `warps` come before the access that `by` makes now.
  bool reads_ordered(const Place& place, uint32_t warps, Accessor by) const;
  void note_reader(Place& place, int warp);
  static std::string writer_of(const Place& place);
  void begin(Place& place);  // forgets readers and changers from before the last __syncthreads()
  // Begins to keep pasts_. Most kernels do not need it.
  void keep_pasts();
  size_t threads() const { return warp_syncs_.size() * 32; }
  size_t column(int thread) const { return thread == kBulkCopies ? threads() : static_cast<size_t>(thread); }
  void report(const Place& place, const char* does, const std::string& other, Accessor by);

  const std::byte* memory_ = nullptr;
  size_t bytes_ = 0;
  template <typename Visit>
  void for_each_place(const void* address, size_t bytes, Visit visit);

  static constexpr size_t kPlaceBytes = 2;
  static constexpr int kBulkCopies = -2;  // the number of the thread that all bulk copies count as
  std::vector<Place> places_;
  std::vector<uint64_t> warp_syncs_;  // when each warp was last synchronised
  uint64_t clock_ = 0, block_start_ = 0, block_sync_ = 0, pasts_start_ = 0;
  std::vector<Past> pasts_;                           // by thread; empty if the block needs none
  std::vector<std::array<uint64_t, 32>> last_reads_;  // by place and warp, while pasts are kept
  std::string race_;
};

}  // namespace simt
