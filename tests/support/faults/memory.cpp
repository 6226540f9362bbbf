// Counts allocations with operator new. Each call stack counts only once per process. Allocation number
// GPTMOE_FAULTS_AT throws std::bad_alloc.
#include <execinfo.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "support/faults/plan.h"

namespace {

constexpr int kFrames = 8;
constexpr std::size_t kPlaces = 1 << 16;
std::atomic<std::uint64_t> places[kPlaces];  // a hash table of the hashes of the call stacks so far; 0: a free entry

// Whether this is the first allocation with this call stack.
bool from_new_place() {
  void* frames[kFrames];
  const int count = backtrace(frames, kFrames);
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a over whole addresses
  for (int i = 0; i < count; ++i) hash = (hash ^ reinterpret_cast<std::uintptr_t>(frames[i])) * 1099511628211u;
  hash |= 1;
  for (std::size_t i = 0; i < kPlaces; ++i) {
    std::atomic<std::uint64_t>& place = places[((hash >> 20) + i) % kPlaces];
    std::uint64_t seen = 0;
    if (place.compare_exchange_strong(seen, hash)) return true;
    if (seen == hash) return false;
  }
  return false;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  const bool counts = gptmoe::faults::plan().record && from_new_place();
  if (counts && gptmoe::faults::reached("new", "")) return nullptr;
  const std::size_t size = bytes == 0 ? 1 : bytes;
  if (alignment <= alignof(std::max_align_t)) return std::malloc(size);
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment = 1) {
  if (void* memory = allocate(bytes, alignment)) return memory;
  if (const std::new_handler handler = std::get_new_handler()) handler();
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t n) { return allocate_or_throw(n); }
void* operator new[](std::size_t n) { return allocate_or_throw(n); }
void* operator new(std::size_t n, std::align_val_t a) { return allocate_or_throw(n, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return allocate_or_throw(n, static_cast<std::size_t>(a)); }
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return allocate(n, 1); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return allocate(n, 1); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { std::free(p); }
