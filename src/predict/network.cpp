#include "predict/network.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string_view>

#include "distributed/communicator.h"

namespace gptmoe {
namespace {

// The constants from which NCCL itself chooses an algorithm and a protocol (src/graph/tuning.cc of NCCL 2.2x). Each
// algorithm has three rows, for the protocols "LL", "LL128" and "Simple" in this order.
struct Choice {
  const char* algorithm;
  bool low_latency;    // LL: its rate is limited, and over several machines its hops take longer
  double share;        // of the bandwidth
  double base;         // seconds of an empty collective
  double link_hop;     // seconds, to a rank of the same machine
  double network_hop;  // seconds, to another machine
};
constexpr std::array<Choice, 6> kChoices = {{{"ring", true, 0.5, 6.6e-6, 0.6e-6, 2.7e-6},
                                             {"ring", false, 0.92, 14e-6, 1.9e-6, 4e-6},
                                             {"ring", false, 1, 8.4e-6, 3.4e-6, 14e-6},
                                             {"tree", true, 0.92 / 3.8, 6.8e-6, 0.6e-6, 5e-6},
                                             {"tree", false, 0.92 * 0.92, 14e-6, 1.25e-6, 8.5e-6},
                                             {"tree", false, 0.92, 8.4e-6, 4e-6, 14e-6}}};
constexpr double kLowLatencyHopWithNetwork = 1.8;

// The highest rate of the protocol LL on GPUs like the H100, in bytes/s. It depends on the number of machines.
double low_latency_limit(int machines) { return machines == 1 ? 141e9 : machines == 2 ? 45e9 : 20e9; }

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
  const double sent = sent_bytes(collective, bytes, ranks);
  if (latency > 0) return {latency + sent / bandwidth, "ring"};

  const int rounds = collective == Collective::all_reduce ? 2 : 1;
  CollectiveTime best{1e30, ""};
  for (const Choice& choice : kChoices) {
    const bool tree = std::string_view(choice.algorithm) == "tree";
    if (tree && (machines == 1 || collective != Collective::all_reduce)) continue;
    const int network_hops = tree ? std::bit_width(static_cast<unsigned>(machines) - 1) : machines - 1,
              link_hops = tree ? ranks / machines - 1 : ranks - machines;
    double rate = choice.share * bandwidth, link_hop = choice.link_hop;
    if (choice.low_latency) {
      rate = std::min(rate, low_latency_limit(machines));
      if (machines > 1) link_hop *= kLowLatencyHopWithNetwork;
    }
    const double seconds =
        choice.base + sent / rate + rounds * (link_hops * link_hop + network_hops * choice.network_hop);
    if (seconds < best.seconds) best = {seconds, choice.algorithm};
  }
  return best;
}

}  // namespace gptmoe
