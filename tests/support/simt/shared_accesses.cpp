#include "simt/shared_accesses.h"

#include <algorithm>

namespace simt {

void SharedAccesses::start(const std::byte* memory, size_t bytes, size_t warps) {
  memory_ = memory;
  bytes_ = bytes;
  if (places_.size() < bytes / kPlaceBytes + 1) places_.resize(bytes / kPlaceBytes + 1);
  warp_syncs_.assign(warps, 0);
  block_start_ = block_sync_ = ++clock_;
  race_.clear();
}

template <typename Visit>
void SharedAccesses::for_each_place(const void* address, size_t bytes, Visit visit) {
  const auto first = static_cast<size_t>(static_cast<const std::byte*>(address) - memory_);
  const size_t end = std::min(first + bytes, bytes_);
  for (size_t at = first / kPlaceBytes; at * kPlaceBytes < end; ++at) visit(places_[at]);
}

void SharedAccesses::report(const Place& place, const char* does, const char* other, int thread, Accessor by) {
  if (!race_.empty()) return;
  race_ = "race: thread " + std::to_string(by.thread) + " " + does + " byte " +
          std::to_string(static_cast<size_t>(&place - places_.data()) * kPlaceBytes) +
          " of shared memory, which thread " + std::to_string(thread) + " " + other + ", and nothing orders the two";
}

void SharedAccesses::access(const void* address, size_t bytes, Kind kind, Accessor by) {
  const bool writes = kind != Kind::read;
  const char* does = kind == Kind::read ? "reads" : kind == Kind::write ? "writes" : "changes";
  const Access now{by.thread, by.warp, clock_};
  for_each_place(address, bytes, [&](Place& place) {
    if (place.copier >= 0 && place.copy_time >= block_start_) report(place, does, "is copying to", place.copier, by);
    const bool both_atomic = kind == Kind::atomic && place.atomic;
    if (!ordered(place.write, by) && !both_atomic) report(place, does, "wrote", place.write.thread, by);
    if (writes) {
      for (const Access& read : place.reads)
        if (!ordered(read, by)) report(place, does, "read", read.thread, by);
      place.write = now;
      place.atomic = kind == Kind::atomic;
    } else {
      const bool free = place.reads[0].thread == by.thread || place.reads[0].time < block_sync_;
      place.reads[free ? 0 : 1] = now;
    }
  });
}

void SharedAccesses::copy_starts(const void* to, size_t bytes, Accessor by) {
  access(to, bytes, Kind::write, by);
  for_each_place(to, bytes, [&](Place& place) {
    place.copier = by.thread;
    place.copy_time = clock_;
  });
}

void SharedAccesses::copy_ends(const void* to, size_t bytes, Accessor by) {
  for_each_place(to, bytes, [&](Place& place) {
    place.copier = -1;
    place.write = {by.thread, by.warp, clock_};
  });
}

}  // namespace simt
