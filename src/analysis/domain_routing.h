#pragma once
// Which experts the texts of several domains go to, and how much the domains differ. docs/analysis.md has the formulas.
#include <string>

#include "analysis/routing_profile.h"

namespace gptmoe {

struct Domain {
  std::string name;
  std::string shards;  // the pattern that its text comes from
  Batches batches;     // all of them are measured
};

// Of one mixture.
struct DomainShares {
  Table share;               // [domain][expert] share of the domain's assignments; rows sum to 1
  std::vector<double> mean;  // [expert] of the rows, every domain weighing the same
  double distance = 0;       // mean over domains of the total variation distance between a row and `mean`
};

struct DomainRouting {
  std::vector<std::string> names, shards;  // by domain
  int64_t tokens = 0;                      // of each domain
  std::vector<DomainShares> layers;        // by mixture; empty where no domains were given
};

// Takes `share` as it is and computes the rest. At least one row; all rows have the same length.
DomainShares compare_domains(Table share);

// Runs the model's own router over every domain's batches. All domains have the same number of them. The engine's
// parameters and router state stay as they are.
DomainRouting profile_domains(Engine& engine, Ops& ops, const std::vector<Domain>& domains, const PassDone& done);

}  // namespace gptmoe
