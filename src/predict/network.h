#pragma once
// The time of collectives among ranks on one or several machines.
#include <cstdint>

namespace gptmoe {

enum class Collective { all_reduce, reduce_scatter, all_gather, broadcast };
constexpr int kCollectives = 4;
const char* collective_name(Collective collective);  // "all-reduce"

struct Network {
  int ranks = 1, machines = 1;  // every machine has the same number of ranks
  double link_bytes = 0;        // bytes/s that a rank sends to a rank of its machine
  double machine_bytes = 0;     // bytes/s that a machine sends to other machines, with all of its cards
  double latency = 0;           // seconds of a collective of few bytes; 0: computed from the number of hops
};

struct CollectiveTime {
  double seconds;
  const char* algorithm;  // "ring" or "tree"
};

// The time of a collective on a tensor of `bytes` on each rank, with the fastest of NCCL's algorithms and protocols:
//   * ring, or, for an all-reduce over several machines, a tree of machines with a chain of ranks in each
//   * the protocols Simple (full bandwidth), LL128 (0.92 of it, with shorter hops) and LL (at most half of it, with the
//     shortest hops; at most 141 GB/s on one machine, 45 on two and 20 on more)
// NVLS, which sums in the switches of NVLink, is not considered. Rings pass through every machine once per card, so
// their bandwidth is that of a rank's links or that of all of a machine's cards together, whichever is lower. If
// `latency` is given, only a ring at full bandwidth is considered, and `latency` replaces the time of its start and
// hops. With one rank, a collective takes no time.
CollectiveTime collective_time(const Network& network, Collective collective, int64_t bytes);

}  // namespace gptmoe
