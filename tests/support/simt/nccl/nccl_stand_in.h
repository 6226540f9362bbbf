#pragma once
// NCCL for the simulated GPU: what tests link in place of nccl_library.cpp. Results travel through a World, so the
// ranks are processes of their own, each with its simulated GPU. Collectives are late work of their stream
// (simt/stream.h), and refused on one that does not follow the stream it last waited for.
#include <nccl.h>

#include <cstddef>
#include <ostream>
#include <string>
#include <vector>

#include "distributed/world.h"

namespace simt {

// The ranks among which communicators made from now on exchange; null: there is one only.
void set_nccl_world(gptmoe::World* world);

// A collective as this process has done it: elements that a rank sends, as NCCL is told them.
struct NcclCall {
  std::string name;
  size_t count;
  ncclDataType_t type;
  bool operator==(const NcclCall&) const = default;
};
inline std::ostream& operator<<(std::ostream& out, const NcclCall& call) {
  return out << call.name << " of " << call.count << " of type " << call.type;
}
// In the order in which they were done; for tests to clear.
extern std::vector<NcclCall> nccl_calls;

// What ncclCommGetAsyncError tells.
extern ncclResult_t nccl_async_error;
// How often communicators were destroyed, and aborted.
extern int nccl_destroyed, nccl_aborted;

}  // namespace simt
