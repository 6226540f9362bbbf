#pragma once
// Which experts each domain's texts use, and how much the domains differ. docs/analysis.md has the formulas.
#include <string>

#include "analysis/routing_profile.h"

namespace gptmoe {

struct Domain {
  std::string name;
  std::string shards;  // glob of its shards
  Batches batches;     // all of them are measured
};

// How each domain's assignments divide among the experts of one MoE layer.
struct DomainShares {
  Table share;               // [domain][expert] share of the domain's assignments; rows sum to 1
  std::vector<double> mean;  // [expert] mean of the rows; every domain has the same weight
  double distance = 0;       // mean over domains of the total variation distance between a row and `mean`
};

struct DomainRouting {
  std::vector<std::string> names, shards;  // by domain
  int64_t tokens = 0;                      // of each domain
  std::vector<DomainShares> layers;        // by MoE layer; empty if no domains were given
};

// Keeps `share` as it is and computes the rest. `share` has at least one row, and all its rows have the same length.
DomainShares compare_domains(Table share);

// Runs the model's own router over every domain's batches. All domains have the same number of batches. The engine's
// parameters and router state do not change.
DomainRouting profile_domains(Engine& engine, Ops& ops, const std::vector<Domain>& domains, const PassDone& done);

}  // namespace gptmoe
