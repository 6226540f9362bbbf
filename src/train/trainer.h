#pragma once
// A whole training run, from its data to its checkpoints and metrics.
#include <filesystem>
#include <string>

#include "config/config.h"
#include "distributed/world.h"

namespace gptmoe {

struct TrainOptions {
  std::filesystem::path out;  // run directory
  bool resume = false;
  std::string resume_command;  // the command that an interrupted run prints
};

enum class TrainOutcome { finished, interrupted };

// Every rank of `world` calls check_run() and train().

// Checks all that can be wrong with a run before it starts: backend, shards, layout, memory, differences between ranks.
// Throws as train() would.
void check_run(const Config& config, World& world);

// Starts the ranks' watchdog with the limits of the config. Call it once.
void watch(World& world, const DistributedConfig& config);

// Trains `config`, printing the first screen and progress. Rank 0 alone writes, to options.out. Saves before it
// evaluates; SIGINT or SIGTERM finishes the step, saves and returns `interrupted`. Throws UserError for bad input,
// Failure when the machine or the numbers fail; the last checkpoint stays valid.
TrainOutcome train(const Config& config, const TrainOptions& options, World& world);

}  // namespace gptmoe
