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

void SharedAccesses::report(const Place& place, const char* does, const std::string& other, Accessor by) {
  if (!race_.empty()) return;
  race_ = "race: thread " + std::to_string(by.thread) + " " + does + " byte " +
          std::to_string(static_cast<size_t>(&place - places_.data()) * kPlaceBytes) + " of shared memory, which " +
          other + ", and nothing orders the two";
}

void SharedAccesses::access(const void* address, size_t bytes, Kind kind, Accessor by) {
  const bool writes = kind != Kind::read, atomic = kind == Kind::atomic;
  const char* does = kind == Kind::read ? "reads" : kind == Kind::write ? "writes" : "changes";
  const uint32_t own = uint32_t{1} << by.warp;
  const auto thread = [](int number) { return "thread " + std::to_string(number); };
  for_each_place(address, bytes, [&](Place& place) {
    if (place.since < block_sync_) {
      place.readers = place.changers = 0;
      place.since = clock_;
    }
    if (place.copier >= 0 && place.copy_time >= block_start_)
      report(place, does, thread(place.copier) + " is copying to", by);
    if (!ordered(place.write, by) && !(atomic && place.atomic))
      report(place, does, thread(place.write.thread) + " wrote", by);
    if (!atomic && (place.changers & ~own) != 0) report(place, does, "another warp changed", by);
    if (writes && !ordered(place.read, by)) report(place, does, thread(place.read.thread) + " read", by);
    if (writes && (place.readers & ~own) != 0) report(place, does, "another warp read", by);
    (writes ? place.write : place.read) = {by.thread, by.warp, clock_};
    if (writes) place.atomic = atomic;
    if (!writes) place.readers |= own;
    if (atomic) place.changers |= own;
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
