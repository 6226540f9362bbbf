#pragma once
// A block's mbarriers, by the rules of the PTX ISA.
#include <cstdint>
#include <map>
#include <string>

#include "simt/shared_accesses.h"

namespace simt {

class Mbarriers {
 public:
  void init(void* at, uint32_t arrivals);
  void arrive(void* at, uint32_t expected_bytes);
  void complete(void* at, uint32_t bytes);
  // Whether a phase of this parity was the last one to end.
  bool ended(void* at, uint32_t parity);
  // Notes that the running thread has seen the end of the last phase. Its later accesses come after all arrivals of
  // that phase.
  void seen(void* at);
  // Describes the wait of `thread` for the current phase, in words.
  std::string describe(void* at, int thread) const;
  // Throws KernelError if copies have brought more or fewer bytes than were expected.
  void end() const;

 private:
  struct State {
    uint32_t arrivals = 0, pending = 0;
    int64_t bytes = 0;
    uint64_t phase = 0, seen = 0;          // phases before `seen` were waited for
    std::map<int, uint64_t> seen_by = {};  // by thread: the phase in which its last wait ended
    SharedAccesses::Past arrived = {};     // the accesses before the end of the current phase
    SharedAccesses::Past ended = {};       // the accesses before the end of the previous phase
  };
  State& find(void* at, const char* who);
  static void advance(State& state);
  static void check_bytes(const State& state);

  std::map<void*, State> all_;
};

}  // namespace simt
