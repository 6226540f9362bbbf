#pragma once
// How the ranks of a job come to the same view of things, and of what is wrong.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "distributed/world.h"

namespace gptmoe {

// An error that every rank has: rank 0 prints it for all, and no rank need be brought down by another.
struct KnownToAllRanks {
  virtual ~KnownToAllRanks() = default;
};

// Runs `setup` on every rank; collective. Where it throws on any, every rank throws what the lowest of those did, as
// UserError, BugError, NumericFailure or Failure and KnownToAllRanks, with that rank's name in front unless all said
// the same.
void agree(World& world, const std::function<void()>& setup);

// Runs `action` on rank 0; collective. What it throws every rank throws, as agree() does, in no rank's name.
void on_root(World& world, const std::function<void()>& action);

// What `question` answers on rank 0, on every rank; what it throws there too. Collective.
bool root_says(World& world, const std::function<bool()>& question);

// What something is called, and what this rank has for it.
using NamedValues = std::vector<std::pair<std::string, std::string>>;

// Collective. Throws UserError, on every rank, that names the first thing in which a rank differs from rank 0, both
// ranks and both values.
void check_alike(World& world, const NamedValues& facts);

// Of the file that this process runs.
std::string program_checksum();

}  // namespace gptmoe
