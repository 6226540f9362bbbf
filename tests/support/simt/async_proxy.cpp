#include "simt/async_proxy.h"

#include <algorithm>
#include <cstring>

#include "simt/runtime.h"
#include "simt/shared_accesses.h"

namespace simt {
namespace {

constexpr size_t kWord = 4;
constexpr uint8_t kUnwritten[kWord] = {0xFF, 0xFF, 0xFF, 0xFF};  // the contents of shared memory when a block starts

std::string at(size_t offset) { return "byte " + std::to_string(offset) + " of shared memory"; }

}  // namespace

AsyncProxy::AsyncProxy(std::byte* memory, size_t bytes)
    : memory_(memory), view_(memory, memory + bytes), users_(bytes / kUnit + 1) {
  std::fill(view_.begin(), view_.end(), std::byte{0xFF});  // as before any thread wrote
}

void AsyncProxy::fence() { std::memcpy(view_.data(), memory_, view_.size()); }

size_t AsyncProxy::offset_of(const void* address, const char* who) const {
  const auto* byte = static_cast<const std::byte*>(address);
  if (byte < memory_ || byte >= memory_ + view_.size())
    fault(std::string(who) + ": the address is not in the block's shared memory");
  return static_cast<size_t>(byte - memory_);
}

void AsyncProxy::check_range(size_t offset, size_t count, const char* who) const {
  if (offset > view_.size() || count > view_.size() - offset)
    fault(std::string(who) + " reaches past the end of shared memory: " + at(offset + count - 1) + ", which has " +
          std::to_string(view_.size()));
}

bool AsyncProxy::needs_fence(size_t offset, size_t count) const {
  return std::memcmp(memory_ + offset, view_.data() + offset, count) != 0;
}

void AsyncProxy::read(size_t offset, void* to, size_t count, const char* who) const {
  check_range(offset, count, who);
  for (size_t unit = offset / kUnit; unit * kUnit < offset + count; ++unit)
    if (users_[unit].writers > 0)
      fault(std::string(who) + " reads " + at(unit * kUnit) + ", which a bulk copy is still writing");
  if (needs_fence(offset, count))
    fault(std::string(who) + " reads " + at(offset) + ", which threads wrote without fence.proxy.async");
  for (size_t word = offset; word < offset + count; word += kWord)
    if (std::memcmp(&view_[word], kUnwritten, kWord) == 0 && !shared_accesses().written(memory_ + word, kWord))
      fault(std::string(who) + " reads " + at(word) + ", which nothing has written");
  std::memcpy(to, view_.data() + offset, count);
}

bool AsyncProxy::unchanged(size_t offset, const void* expected, size_t count) const {
  return std::memcmp(memory_ + offset, expected, count) == 0;
}

void AsyncProxy::write(size_t offset, const void* from, size_t count) {
  std::memcpy(memory_ + offset, from, count);
  std::memcpy(view_.data() + offset, from, count);
}

void AsyncProxy::add(size_t offset, size_t count, int Users::*which, int by) {
  for (size_t unit = offset / kUnit; unit * kUnit < offset + count; ++unit) users_[unit].*which += by;
}

void AsyncProxy::begin_write(size_t offset, size_t count) {
  check_range(offset, count, "a bulk copy");
  for (size_t unit = offset / kUnit; unit * kUnit < offset + count; ++unit) {
    if (users_[unit].readers > 0)
      fault("a bulk copy overwrites " + at(unit * kUnit) +
            ", which is still being read: the stage is reused too early");
    if (users_[unit].writers > 0) fault("two bulk copies write " + at(unit * kUnit));
  }
  if (needs_fence(offset, count))
    fault("a bulk copy overwrites " + at(offset) + ", which threads wrote without fence.proxy.async");
  add(offset, count, &Users::writers, 1);
}
void AsyncProxy::end_write(size_t offset, size_t count) { add(offset, count, &Users::writers, -1); }
void AsyncProxy::begin_read(size_t offset, size_t count) { add(offset, count, &Users::readers, 1); }
void AsyncProxy::end_read(size_t offset, size_t count) { add(offset, count, &Users::readers, -1); }

}  // namespace simt
