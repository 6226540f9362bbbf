#include "simt/nccl/nccl_stand_in.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string_view>

#include "base/bf16.h"
#include "base/check.h"
#include "distributed/nccl/nccl_library.h"
#include "simt/device_memory.h"
#include "simt/simulated_device.h"
#include "simt/stream.h"

struct ncclComm {
  gptmoe::World* world;  // null: a single rank
  size_t rank, size;
  int64_t queued_at = -1;  // simulated_device.host_waits when it last queued a collective outside a capture
};

namespace simt {

std::vector<NcclCall> nccl_calls;
ncclResult_t nccl_async_error = ncclSuccess;
int nccl_destroyed = 0, nccl_aborted = 0;

namespace {

gptmoe::World* nccl_world = nullptr;
std::string last_error;
std::set<ncclComm_t> communicators;

// GPUs may run the collectives of two communicators in different orders, and wait for each other forever, unless the
// host waits in between.
bool another_is_under_way(ncclComm_t comm) {
  return std::any_of(communicators.begin(), communicators.end(), [&](ncclComm_t other) {
    return other != comm && other->queued_at == simulated_device.host_waits;
  });
}

ncclResult_t refuse(ncclResult_t status, const char* why) {
  last_error = why;
  return status;
}

size_t bytes_of(ncclDataType_t type) {
  switch (type) {
    case ncclBfloat16: return 2;
    case ncclInt32:
    case ncclFloat32: return 4;
    case ncclInt64:
    case ncclFloat64: return 8;
    default: throw std::logic_error("the stand-in for NCCL knows no type " + std::to_string(type));
  }
}

// Every rank adds in the same order: rank 0 first.
template <typename T, typename Add>
std::string sum_as(const std::vector<std::string>& parts, Add add) {
  std::string bytes = parts.front();
  std::vector<T> sum(bytes.size() / sizeof(T)), more(sum.size());
  std::memcpy(sum.data(), bytes.data(), bytes.size());
  for (size_t rank = 1; rank < parts.size(); ++rank) {
    std::memcpy(more.data(), parts[rank].data(), bytes.size());
    for (size_t i = 0; i < sum.size(); ++i) sum[i] = add(sum[i], more[i]);
  }
  std::memcpy(bytes.data(), sum.data(), bytes.size());
  return bytes;
}

std::string sum_of(const std::vector<std::string>& parts, ncclDataType_t type) {
  switch (type) {
    case ncclFloat32: return sum_as<float>(parts, std::plus<>());
    case ncclFloat64: return sum_as<double>(parts, std::plus<>());
    case ncclBfloat16:  // rounded after every addition, as with ring collectives
      return sum_as<uint16_t>(parts, [](uint16_t a, uint16_t b) {
        return gptmoe::bf16_bits(gptmoe::bf16_value(a) + gptmoe::bf16_value(b));
      });
    default: throw std::logic_error("the stand-in for NCCL adds no type " + std::to_string(type));
  }
}

// Returns the `bytes` bytes at `data` of every rank. All ranks must make the same call.
std::vector<std::string> exchange(const ncclComm& comm, const NcclCall& call, const void* data, size_t bytes) {
  const std::string head = gptmoe::text(call, '\n'), mine(static_cast<const char*>(data), bytes);
  std::vector<std::string> all = comm.world ? comm.world->all_gather(head + mine) : std::vector{head + mine};
  for (std::string& each : all) {
    if (!each.starts_with(head))
      throw std::logic_error(gptmoe::text("another rank is at ", each.substr(0, each.find('\n')), ", this at ", call));
    each.erase(0, head.size());
  }
  return all;
}

// Queues `work` on `stream`. When it runs, it receives the contents of `data` on every rank at that time.
using Work = std::function<void(const std::vector<std::string>& parts)>;
ncclResult_t start(ncclComm_t comm, const NcclCall& call, const void* data, size_t bytes, cudaStream_t stream,
                   Work work) {
  if (!follows_others(stream))
    return refuse(ncclInvalidUsage, "its stream does not wait for the work that was submitted before");
  if (device_memory_guarded() && !in_device_memory(data))
    return refuse(ncclInvalidArgument, "the buffer is not in the GPU's memory");
  if (another_is_under_way(comm)) return refuse(ncclInvalidUsage, "another communicator's collectives are under way");
  if (!capturing()) comm->queued_at = simulated_device.host_waits;
  submit_late(stream, [=, work = std::move(work)] {
    const DeviceAccess access;
    nccl_calls.push_back(call);
    work(exchange(*comm, call, data, bytes));
  });
  return ncclSuccess;
}

}  // namespace

void set_nccl_world(gptmoe::World* world) { nccl_world = world; }

}  // namespace simt

using simt::last_error, simt::nccl_world, simt::refuse;

extern "C" {

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::fill(std::begin(id->internal), std::end(id->internal), '\0');
  id->internal[NCCL_UNIQUE_ID_BYTES - 1] = 7;
  return ncclSuccess;
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank, ncclConfig_t*) {
  if (id.internal[NCCL_UNIQUE_ID_BYTES - 1] != 7) return refuse(ncclInvalidArgument, "not the id of a communicator");
  if (size != (nccl_world ? nccl_world->size() : 1)) return refuse(ncclInvalidArgument, "wrong number of ranks");
  *comm =
      *simt::communicators.insert(new ncclComm{nccl_world, static_cast<size_t>(rank), static_cast<size_t>(size)}).first;
  return ncclSuccess;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  simt::finish_all();
  ++simt::nccl_destroyed;
  simt::communicators.erase(comm);
  delete comm;
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  simt::drop_all();
  ++simt::nccl_aborted;
  simt::communicators.erase(comm);
  delete comm;
  return ncclSuccess;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* state) {
  *state = simt::nccl_async_error;
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t) { return "an error of the simulated NCCL"; }
const char* ncclGetLastError(ncclComm_t) { return last_error.c_str(); }

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t, ncclComm_t comm,
                           cudaStream_t stream) {
  if (from != to) return refuse(ncclInvalidArgument, "not in place");
  return simt::start(comm, {"ncclAllReduce", count, type}, from, count * simt::bytes_of(type), stream,
                     [=](const auto& parts) {
                       const std::string sum = simt::sum_of(parts, type);
                       std::memcpy(to, sum.data(), sum.size());
                     });
}
ncclResult_t ncclReduceScatter(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t,
                               ncclComm_t comm, cudaStream_t stream) {
  const size_t bytes = count * simt::bytes_of(type), all = bytes * comm->size, at = bytes * comm->rank;
  auto* whole = static_cast<char*>(const_cast<void*>(from));
  if (to != whole + at) return refuse(ncclInvalidArgument, "not in place");
  return simt::start(comm, {"ncclReduceScatter", count, type}, from, all, stream, [=](const auto& parts) {
    const std::string sum = simt::sum_of(parts, type);
    std::memset(whole, 0xFF, all);
    std::memcpy(to, sum.data() + at, bytes);
  });
}
ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  const size_t bytes = count * simt::bytes_of(type);
  if (from != static_cast<char*>(to) + bytes * comm->rank) return refuse(ncclInvalidArgument, "not in place");
  return simt::start(comm, {"ncclAllGather", count, type}, from, bytes, stream, [=](const auto& parts) {
    for (size_t rank = 0; rank < parts.size(); ++rank)
      std::memcpy(static_cast<char*>(to) + rank * bytes, parts[rank].data(), bytes);
  });
}
ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
  if (from != to) return refuse(ncclInvalidArgument, "not in place");
  return simt::start(comm, {"ncclBroadcast", count, type}, from, count * simt::bytes_of(type), stream,
                     [=](const auto& parts) {
                       const std::string& chosen = parts.at(static_cast<size_t>(root));
                       std::memcpy(to, chosen.data(), chosen.size());
                     });
}

}  // extern "C"

namespace gptmoe {

void* nccl_symbol(const char* name) {
#define GPTMOE_STAND_IN(function) \
  { #function, reinterpret_cast < void*>(function) }
  static const std::map<std::string_view, void*> functions = {
      GPTMOE_STAND_IN(ncclGetUniqueId),  GPTMOE_STAND_IN(ncclCommInitRankConfig), GPTMOE_STAND_IN(ncclCommDestroy),
      GPTMOE_STAND_IN(ncclCommAbort),    GPTMOE_STAND_IN(ncclCommGetAsyncError),  GPTMOE_STAND_IN(ncclGetErrorString),
      GPTMOE_STAND_IN(ncclGetLastError), GPTMOE_STAND_IN(ncclAllReduce),          GPTMOE_STAND_IN(ncclReduceScatter),
      GPTMOE_STAND_IN(ncclAllGather),    GPTMOE_STAND_IN(ncclBroadcast)};
#undef GPTMOE_STAND_IN
  return functions.at(name);
}

}  // namespace gptmoe
