#include "simt/mbarriers.h"

#include <cstring>

#include "simt/runtime.h"

namespace simt {
namespace {

constexpr int64_t kMost = (1 << 20) - 1;            // the maximum number of arrivals, and of pending bytes
constexpr uint64_t kContents = 0x6D62617272696572;  // the contents of a barrier's memory, opaque to kernels

}  // namespace

void Mbarriers::init(void* at, uint32_t arrivals) {
  if (reinterpret_cast<uintptr_t>(at) % sizeof kContents != 0) fault("mbarrier.init: not a multiple of 8 bytes");
  if (arrivals < 1 || arrivals > kMost) fault("mbarrier.init: " + std::to_string(arrivals) + " arrivals");
  if (!all_.try_emplace(at, State{.arrivals = arrivals, .pending = arrivals}).second)
    fault("mbarrier.init: this is an mbarrier already");
  std::memcpy(at, &kContents, sizeof kContents);
}

Mbarriers::State& Mbarriers::find(void* at, const char* who) {
  const auto found = all_.find(at);
  if (found == all_.end()) fault(std::string(who) + ": the mbarrier is not initialised");
  if (std::memcmp(at, &kContents, sizeof kContents) != 0) fault(std::string(who) + ": the mbarrier was overwritten");
  return found->second;
}

void Mbarriers::advance(State& state) {
  if (state.pending > 0 || state.bytes != 0) return;
  ++state.phase;
  state.pending = state.arrivals;
  state.ended = state.arrived;
}

void Mbarriers::check_bytes(const State& state) {
  if (state.bytes > kMost || state.bytes < -kMost)
    fault("mbarrier: " + std::to_string(state.bytes) + " pending bytes are out of range");
}

void Mbarriers::arrive(void* at, uint32_t expected_bytes) {
  State& state = find(at, "mbarrier.arrive");
  if (state.seen < state.phase)
    fault("mbarrier.arrive in phase " + std::to_string(state.phase) + ", but no wait saw the end of phase " +
          std::to_string(state.phase - 1) + ": a phase slip");
  if (state.pending == 0)
    fault("mbarrier.arrive: one arrival too many, phase " + std::to_string(state.phase) + " still waits for " +
          std::to_string(state.bytes) + " bytes");
  state.bytes += expected_bytes;
  check_bytes(state);
  --state.pending;
  shared_accesses().thread_arrives(thread_number(), state.arrived);
  advance(state);
}

void Mbarriers::complete(void* at, uint32_t bytes) {
  State& state = find(at, "a bulk copy");
  state.bytes -= bytes;
  shared_accesses().copy_arrives(state.arrived);
  check_bytes(state);
  advance(state);
}

bool Mbarriers::ended(void* at, uint32_t parity) {
  if (parity > 1) fault("mbarrier.try_wait: parity " + std::to_string(parity));
  return (find(at, "mbarrier.try_wait").phase & 1) != parity;
}

void Mbarriers::seen(void* at) {
  State& state = find(at, "mbarrier.try_wait");
  const auto [last, first] = state.seen_by.try_emplace(thread_number(), state.phase);
  if (!first && last->second == state.phase)
    fault("mbarrier.try_wait: the thread has waited for the end of phase " +
          std::to_string(static_cast<int64_t>(state.phase) - 1) + " before: a phase slip");
  last->second = state.phase;
  state.seen = state.phase;
  shared_accesses().follows(thread_number(), state.ended);
}

void Mbarriers::end() const {
  for (const auto& [at, state] : all_)
    if (state.bytes != 0)
      fault("the block ended with " + std::to_string(state.bytes) + " bytes pending at an mbarrier");
}

std::string Mbarriers::describe(void* at, int thread) const {
  const auto found = all_.find(at);
  if (found == all_.end()) return "for an mbarrier";
  const State& state = found->second;
  const auto seen = state.seen_by.find(thread);
  const uint64_t next = seen == state.seen_by.end() ? 0 : seen->second;
  return "for phase " + std::to_string(state.phase) + " of an mbarrier (" + std::to_string(state.pending) +
         " arrivals and " + std::to_string(state.bytes) + " bytes pending)" +
         (next < state.phase ? " without having waited for phase " + std::to_string(next) + ": a phase slip" : "");
}

}  // namespace simt
