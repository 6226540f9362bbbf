#pragma once
// NCCL for the simulated GPU. Tests link it instead of nccl_library.cpp. Data travels through a World, so every rank
// is a process with its own simulated GPU. A collective runs as late work of its stream (simt/stream.h). It is refused
// unless follows_others(stream) is true. It is also refused if the host has not waited since the last collective of a
// different communicator.
#include <nccl.h>

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "distributed/world.h"

namespace simt {

// Communicators created from now on connect the ranks of `world`; null: a single rank.
void set_nccl_world(gptmoe::World* world);

// A collective that this process has run; `count` is the number of elements that was passed to NCCL.
struct NcclCall {
  std::string name;
  size_t count;
  ncclDataType_t type;
  bool operator==(const NcclCall&) const = default;
};
inline std::ostream& operator<<(std::ostream& out, const NcclCall& call) {
  return out << call.name << " of " << call.count << " of type " << call.type;
}
// All collectives run so far, in order. Tests may clear the list.
extern std::vector<NcclCall> nccl_calls;

// What ncclCommGetAsyncError reports.
extern ncclResult_t nccl_async_error;
// How many communicators were destroyed and how many aborted.
extern int nccl_destroyed, nccl_aborted;

}  // namespace simt
