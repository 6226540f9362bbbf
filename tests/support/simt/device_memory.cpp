#include "simt/device_memory.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>

namespace simt {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kAlignment = 256;  // as of cudaMalloc
// Only the first bytes of an allocation are NaNs. The rest stay zero, because guarding untouched pages is quick.
constexpr size_t kPoisonedBytes = size_t{1} << 18;

struct Region {
  char* base;          // start of the leading guard page
  size_t inner_bytes;  // whole pages between the two guard pages
  char* inner() const { return base + kPage; }
};

std::map<const char*, Region>& regions() {
  static std::map<const char*, Region> all;  // keyed by the address returned to the caller
  return all;
}
bool guarded = false;
int accesses = 0;

void protect(const Region& region) {
  const bool open = !guarded || accesses > 0;
  mprotect(region.inner(), region.inner_bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}
void protect_all() {
  for (const auto& [address, region] : regions()) protect(region);
}

const Region* region_of(const char* address) {
  const auto after = regions().upper_bound(address);
  if (after == regions().begin()) return nullptr;
  const Region& region = std::prev(after)->second;
  return address < region.inner() + region.inner_bytes ? &region : nullptr;
}

void report_touch(int signal_number, siginfo_t* info, void*) {
  if (region_of(static_cast<const char*>(info->si_addr))) {
    constexpr char kMessage[] = "simulated GPU: the host touched device memory outside a kernel or a copy\n";
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  }
  signal(signal_number, SIG_DFL);  // the faulting instruction runs again and ends the process
}

}  // namespace

void* allocate_device(size_t bytes) {
  const size_t inner_bytes = std::max<size_t>(1, (bytes + kAlignment + kPage - 1) / kPage) * kPage;
  void* memory = mmap(nullptr, inner_bytes + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  const Region region{static_cast<char*>(memory), inner_bytes};
  mprotect(region.inner(), inner_bytes, PROT_READ | PROT_WRITE);
  // The memory is at the end of its pages, so that the guard page after them catches an overrun.
  char* begin = region.inner() + (inner_bytes - bytes) / kAlignment * kAlignment;
  std::memset(begin, 0xFF, std::min(bytes, kPoisonedBytes));
  regions().emplace(begin, region);
  protect(region);
  return begin;
}

bool release_device(void* memory) {
  const auto found = regions().find(static_cast<const char*>(memory));
  if (found == regions().end()) return memory == nullptr;
  munmap(found->second.base, found->second.inner_bytes + 2 * kPage);
  regions().erase(found);
  return true;
}

size_t device_memory_in_use() {
  size_t bytes = 0;
  for (const auto& [address, region] : regions()) bytes += region.inner_bytes;
  return bytes;
}

bool in_device_memory(const void* address) { return region_of(static_cast<const char*>(address)) != nullptr; }

void guard_device_memory(bool on) {
  struct sigaction action {};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = report_touch;
  sigaction(SIGSEGV, &action, nullptr);
  guarded = on;
  protect_all();
}

bool device_memory_guarded() { return guarded; }

DeviceAccess::DeviceAccess() {
  if (++accesses == 1 && guarded) protect_all();
}
DeviceAccess::~DeviceAccess() {
  if (--accesses == 0 && guarded) protect_all();
}

}  // namespace simt
