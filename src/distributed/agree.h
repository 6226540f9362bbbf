#pragma once
// How the ranks of a job agree on values and on errors.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "distributed/world.h"

namespace gptmoe {

// Marks an error that every rank throws: rank 0 prints it for all ranks, and no rank needs to end the others.
struct KnownToAllRanks {
  virtual ~KnownToAllRanks() = default;
};

// Runs `setup` on every rank; collective. If it throws on some ranks, every rank throws the error of the lowest of
// these ranks, as a UserError, BugError, NumericFailure or Failure that is also a KnownToAllRanks. The message starts
// with that rank's name unless all ranks throw the same error.
void agree(World& world, const std::function<void()>& setup);

// Runs `action` on rank 0; collective. If the action throws, every rank throws the error that agree() would throw, but
// without a rank's name in the message.
void on_root(World& world, const std::function<void()>& action);

// Returns on every rank the result of `question` on rank 0; collective. Throws what on_root() throws.
bool root_says(World& world, const std::function<bool()>& question);

// Pairs of a name and this rank's value.
using NamedValues = std::vector<std::pair<std::string, std::string>>;

// Collective. If a rank's value differs from rank 0's, throws a UserError on every rank. Its message gives the name of
// the first such value, the two ranks, and the value on each of them.
void check_alike(World& world, const NamedValues& facts);

// The checksum of the file that this process runs.
std::string program_checksum();

}  // namespace gptmoe
