#include "predict/network.h"

#include <algorithm>
#include <array>
#include <bit>

#include "distributed/communicator.h"

namespace gptmoe {
namespace {

// NCCL's own constants for choosing an algorithm (src/graph/tuning.cc of NCCL 2.2x, microseconds): the protocols "LL"
// and "Simple".
struct Protocol {
  double share;                       // of the bandwidth
  double base;                        // of an empty collective
  double link_hop;                    // to a rank of the same machine
  double ring_link_hop_with_network;  // the same in a ring that leaves the machine: posts to the network take longer
  double ring_network_hop, tree_network_hop;
};
constexpr std::array<Protocol, 2> kProtocols = {
    {{0.5, 6.6e-6, 0.6e-6, 1e-6, 2.7e-6, 5e-6}, {1, 8.4e-6, 3.4e-6, 3.4e-6, 14e-6, 14e-6}}};
constexpr double kTreeShare = 0.85;  // of a ring's bandwidth

double sent_bytes(Collective collective, int64_t bytes, int ranks) {
  switch (collective) {
    case Collective::all_reduce: return static_cast<double>(all_reduce_bytes(bytes, ranks));
    case Collective::reduce_scatter: return static_cast<double>(reduce_scatter_bytes(bytes, ranks));
    case Collective::all_gather: return static_cast<double>(all_gather_bytes(bytes, ranks));
    case Collective::broadcast: return static_cast<double>(bytes);
  }
  return 0;
}

}  // namespace

const char* collective_name(Collective collective) {
  switch (collective) {
    case Collective::all_reduce: return "all-reduce";
    case Collective::reduce_scatter: return "reduce-scatter";
    case Collective::all_gather: return "all-gather";
    case Collective::broadcast: return "broadcast";
  }
  return "";
}

CollectiveTime collective_time(const Network& network, Collective collective, int64_t bytes) {
  const auto [ranks, machines, link_bytes, machine_bytes, latency] = network;
  if (ranks == 1) return {0, "ring"};
  const double bandwidth = machines > 1 ? std::min(link_bytes, machine_bytes) : link_bytes;
  const double seconds = sent_bytes(collective, bytes, ranks) / bandwidth;
  if (latency > 0) return {latency + seconds, "ring"};

  const int rounds = collective == Collective::all_reduce ? 2 : 1;
  CollectiveTime best{1e30, ""};
  const auto offer = [&](double time, const char* algorithm) {
    if (time < best.seconds) best = {time, algorithm};
  };
  for (const Protocol& p : kProtocols) {
    const double transfer = seconds / p.share;
    const int network_hops = machines > 1 ? machines - 1 : 0, link_hops = ranks - 1 - network_hops;
    offer(p.base + transfer +
              rounds * (link_hops * (machines > 1 ? p.ring_link_hop_with_network : p.link_hop) +
                        network_hops * p.ring_network_hop),
          "ring");
    if (machines == 1 || collective != Collective::all_reduce) continue;
    const int depth = std::bit_width(static_cast<unsigned>(machines) - 1);
    offer(p.base + transfer / kTreeShare + rounds * ((ranks / machines - 1) * p.link_hop + depth * p.tree_network_hop),
          "tree");
  }
  return best;
}

}  // namespace gptmoe
