#include "simt/bulk_copies.h"

#include <cstring>
#include <utility>

#include "simt/device_memory.h"
#include "simt/hopper.h"
#include "simt/matrix_descriptor.h"
#include "simt/runtime.h"
#include "simt/shared_accesses.h"

namespace simt {
namespace {

constexpr size_t kUnit = 16, kBoxAlignment = 128, kBarrierBytes = 8;

// Calls visit(offset in shared memory, offset in the box) for each unit of a box at `start`.
template <typename Visit>
void for_each_unit(const TensorMap& map, size_t start, Visit visit) {
  for (size_t at = 0; at < map.box_bytes(); at += kUnit) {
    const auto address = static_cast<uint32_t>(kWindowStart + start + at);
    visit(swizzled(address, map.swizzle_bytes, 0) - kWindowStart, at);
  }
}

}  // namespace

void BulkCopies::load(void* to, const void* from, uint32_t bytes, void* barrier) {
  const size_t offset = proxy_.offset_of(to, "cp.async.bulk");
  const auto* first = static_cast<const std::byte*>(from);
  if (offset % kUnit != 0 || reinterpret_cast<uintptr_t>(from) % kUnit != 0 || bytes % kUnit != 0 || bytes == 0)
    fault("cp.async.bulk: addresses and size must be multiples of 16 bytes");
  if (in_device_memory(first) && !in_device_memory(first + bytes - 1))
    fault("cp.async.bulk reads past the end of its tensor");
  start({.to = offset, .bytes = bytes, .barrier = barrier, .from = first, .thread = thread_number()});
}

void BulkCopies::load(void* to, const TensorMap& map, const TensorMap::Place& at, void* barrier) {
  const size_t offset = proxy_.offset_of(to, "cp.async.bulk.tensor");
  if (offset % kBoxAlignment != 0) fault("cp.async.bulk.tensor: shared memory must be a multiple of 128 bytes");
  start({.to = offset, .bytes = map.box_bytes(), .barrier = barrier, .map = map, .at = at, .thread = thread_number()});
}

void BulkCopies::start(const Load& load) {
  if (proxy_.needs_fence(proxy_.offset_of(load.barrier, "a bulk copy's mbarrier"), kBarrierBytes))
    fault("a bulk copy uses an mbarrier that was initialised without fence.proxy.async");
  proxy_.begin_write(load.to, load.bytes);
  shared_accesses().copy_starts(shared_memory() + load.to, load.bytes, {load.thread, load.thread / kWarpSize});
  if (current_timing() == Timing::early)
    complete(load);
  else
    loads_.push_back(load);
}

void BulkCopies::complete(const Load& load) {
  if (load.from) {
    proxy_.write(load.to, load.from, load.bytes);
  } else {
    const std::vector<std::byte> box = load.map.load(load.at);
    for_each_unit(load.map, load.to, [&](size_t to, size_t at) { proxy_.write(to, &box[at], kUnit); });
  }
  proxy_.end_write(load.to, load.bytes);
  shared_accesses().bulk_copy_ends(shared_memory() + load.to, load.bytes);
  barriers_.complete(load.barrier, load.bytes);
}

void BulkCopies::complete_one() {
  const auto chosen = loads_.begin() + static_cast<std::ptrdiff_t>(random_below(loads_.size()));
  const Load load = *chosen;
  loads_.erase(chosen);
  complete(load);
}

void BulkCopies::store(const TensorMap& map, const TensorMap::Place& at, const void* from) {
  const size_t offset = proxy_.offset_of(from, "cp.async.bulk.tensor");
  if (offset % kBoxAlignment != 0) fault("cp.async.bulk.tensor: shared memory must be a multiple of 128 bytes");
  Store store{map, at, offset, std::vector<std::byte>(map.box_bytes())};
  proxy_.read(offset, store.contents.data(), store.contents.size(), "a bulk store");
  proxy_.begin_read(offset, store.contents.size());
  const int thread = thread_number();
  shared_accesses().access(from, store.contents.size(), SharedAccesses::Kind::read, {thread, thread / kWarpSize});
  stores_[thread].open.push_back(std::move(store));
}

void BulkCopies::complete(const Store& store) {
  if (!proxy_.unchanged(store.from, store.contents.data(), store.contents.size()))
    fault("shared memory changed before cp.async.bulk.wait_group.read: a bulk store was still reading it");
  proxy_.end_read(store.from, store.contents.size());
  std::vector<std::byte> box(store.contents.size());
  for_each_unit(store.map, store.from,
                [&](size_t from, size_t at) { std::memcpy(&box[at], &store.contents[from - store.from], kUnit); });
  store.map.store(store.at, box);
}

void BulkCopies::commit() {
  Stores& own = stores_[thread_number()];
  own.groups.push_back(std::exchange(own.open, {}));
}

void BulkCopies::wait_read(int groups) {
  for (auto& waiting = stores_[thread_number()].groups; std::ssize(waiting) > groups; waiting.pop_front())
    for (const Store& store : waiting.front()) complete(store);
}

void BulkCopies::end() const {
  if (!loads_.empty()) fault("the block ended while a bulk copy to its shared memory was under way");
  for (const auto& [thread, own] : stores_)
    if (!own.open.empty() || !own.groups.empty()) fault("the block ended without waiting for a bulk store");
}

}  // namespace simt
