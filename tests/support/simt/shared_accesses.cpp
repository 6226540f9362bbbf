#include "simt/shared_accesses.h"

#include <algorithm>
#include <numeric>

namespace simt {
namespace {

std::string thread(int number) { return "thread " + std::to_string(number); }

}  // namespace

std::string SharedAccesses::writer_of(const Place& place) {
  return place.write.thread == kBulkCopies ? "a bulk copy" : thread(place.write.thread);
}

void SharedAccesses::start(const std::byte* memory, size_t bytes, size_t warps) {
  memory_ = memory;
  bytes_ = bytes;
  if (places_.size() < bytes / kPlaceBytes + 1) places_.resize(bytes / kPlaceBytes + 1);
  warp_syncs_.assign(warps, 0);
  pasts_.clear();
  block_start_ = block_sync_ = ++clock_;
  race_.clear();
}

void SharedAccesses::keep_pasts() {
  if (!pasts_.empty()) return;
  pasts_.assign(threads(), Past(threads() + 1));
  for (size_t i = 0; i < pasts_.size(); ++i)
    std::fill_n(pasts_[i].begin() + static_cast<std::ptrdiff_t>(i / 32 * 32), 32, warp_syncs_[i / 32]);
  pasts_start_ = clock_;
  if (last_reads_.size() < places_.size()) last_reads_.resize(places_.size());
}

void SharedAccesses::warp_synchronised(int warp) {
  warp_syncs_[static_cast<size_t>(warp)] = ++clock_;
  if (pasts_.empty()) return;
  std::vector<int> lanes(32);
  std::iota(lanes.begin(), lanes.end(), warp * 32);
  synchronised(lanes);
}

void SharedAccesses::synchronised(const std::vector<int>& threads) {
  keep_pasts();
  Past all(pasts_[0].size());
  for (const int thread : threads) thread_arrives(thread, all);
  for (const int thread : threads) follows(thread, all);
}

void SharedAccesses::follows(int thread, const Past& past) {
  keep_pasts();
  Past& own = pasts_[static_cast<size_t>(thread)];
  for (size_t i = 0; i < past.size(); ++i) own[i] = std::max(own[i], past[i]);
}

void SharedAccesses::thread_arrives(int thread, Past& past) {
  keep_pasts();
  const Past& own = pasts_[static_cast<size_t>(thread)];
  past.resize(own.size());
  for (size_t i = 0; i < own.size(); ++i) past[i] = std::max(past[i], own[i]);
  past[static_cast<size_t>(thread)] = ++clock_;
}

void SharedAccesses::copy_arrives(Past& past) {
  keep_pasts();
  past.resize(threads() + 1);
  past.back() = ++clock_;
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

void SharedAccesses::begin(Place& place) {
  if (place.since >= block_sync_) return;
  place.readers = place.changers = 0;
  place.since = clock_;
}

bool SharedAccesses::reads_ordered(const Place& place, uint32_t warps, Accessor by) const {
  if (warps == 0) return true;
  if (pasts_.empty()) return false;
  const Past& past = pasts_[static_cast<size_t>(by.thread)];
  const auto& reads = last_reads_[static_cast<size_t>(&place - places_.data())];
  for (size_t warp = 0; warp < warp_syncs_.size(); ++warp) {
    if ((warps >> warp & 1) == 0) continue;
    const auto first = past.begin() + static_cast<std::ptrdiff_t>(warp * 32);
    if (*std::max_element(first, first + 32) <= std::max(reads[warp], pasts_start_)) return false;
  }
  return true;
}

void SharedAccesses::note_reader(Place& place, int warp) {
  place.readers |= uint32_t{1} << warp;
  if (!pasts_.empty()) last_reads_[static_cast<size_t>(&place - places_.data())][static_cast<size_t>(warp)] = clock_;
}

void SharedAccesses::access(const void* address, size_t bytes, Kind kind, Accessor by) {
  const bool writes = kind != Kind::read, atomic = kind == Kind::atomic;
  const char* does = kind == Kind::read ? "reads" : kind == Kind::write ? "writes" : "changes";
  const uint32_t own = uint32_t{1} << by.warp;
  for_each_place(address, bytes, [&](Place& place) {
    begin(place);
    if (place.copier >= 0 && place.copy_time >= block_start_)
      report(place, does, thread(place.copier) + " is copying to", by);
    if (!ordered(place.write, by) && !(atomic && place.atomic)) report(place, does, writer_of(place) + " wrote", by);
    if (!atomic && pasts_.empty() && (place.changers & ~own) != 0) report(place, does, "another warp changed", by);
    if (writes && !ordered(place.read, by)) report(place, does, thread(place.read.thread) + " read", by);
    if (writes && !reads_ordered(place, place.readers & ~own, by)) report(place, does, "another warp read", by);
    (writes ? place.write : place.read) = {by.thread, by.warp, clock_};
    if (writes) place.atomic = atomic;
    if (!writes) note_reader(place, by.warp);
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

void SharedAccesses::bulk_copy_ends(const void* to, size_t bytes) { copy_ends(to, bytes, {kBulkCopies, -1}); }

void SharedAccesses::warp_reads(const void* address, size_t bytes, int warp) {
  for_each_place(address, bytes, [&](Place& place) {
    begin(place);
    bool any = false;
    for (int lane = 0; lane < 32 && !any; ++lane) any = ordered(place.write, {warp * 32 + lane, warp});
    if (!any) report(place, "reads", writer_of(place) + " wrote", {warp * 32, warp});
    note_reader(place, warp);
  });
}

bool SharedAccesses::written(const void* address, size_t bytes) {
  bool any = false;
  for_each_place(address, bytes, [&](const Place& place) { any |= place.write.time >= block_start_; });
  return any;
}

}  // namespace simt
