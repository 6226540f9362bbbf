#pragma once
// A whole run: data in, checkpoints and metrics out.
#include <filesystem>
#include <string>

#include "config/config.h"
#include "distributed/world.h"

namespace gptmoe {

struct TrainOptions {
  std::filesystem::path out;  // run directory
  bool resume = false;
  std::string resume_command;  // what an interrupted run tells the user to type
};

enum class TrainOutcome { finished, interrupted };

// Both are called by every rank of `world`.

// Everything that can be wrong with a run before it starts: backend, shards, layout, memory, ranks that differ. Throws
// as train() would.
void check_run(const Config& config, World& world);

// Has the ranks watch each other from now on, as the config says. Once.
void watch(World& world, const DistributedConfig& config);

// Trains `config` in options.out, where rank 0 alone writes, printing the first screen and progress. Saves before it
// evaluates; SIGINT or SIGTERM finishes the step, saves and returns `interrupted`. Throws UserError for bad input,
// Failure when the machine or the numbers fail; the last checkpoint then stands.
TrainOutcome train(const Config& config, const TrainOptions& options, World& world);

}  // namespace gptmoe
