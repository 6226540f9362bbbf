#pragma once
// A whole training run, from its data to its checkpoints and metrics.
#include <filesystem>
#include <string>
#include <vector>

#include "config/config.h"
#include "distributed/world.h"
#include "engine/hopper_choice.h"

namespace gptmoe {

struct TrainOptions {
  std::filesystem::path out;  // run directory
  bool resume = false;
  std::filesystem::path branch = {};  // the run or checkpoint that the new run branches from; empty: none
  std::vector<std::string> set = {};  // with resume or branch: the config keys that --set gives
  bool restart = false;               // with resume: start over if there is no checkpoint, even if rows are lost
  std::string resume_command = {};    // the command that an interrupted run prints
  double matrix_rate = 0;             // FLOP/s of this rank's device on large products; 0: measured
  HopperCheck hopper_check = {};      // as for agreed_hopper(), once per run

  bool continues() const { return resume || !branch.empty(); }  // from a checkpoint that options.out then holds
};

// Every rank of `world` calls check_run() and train().

// Checks everything that can be checked before a run starts: backend, shards, layout, memory, differences between
// ranks. Throws as train() would.
void check_run(const Config& config, World& world);

// Starts the ranks' watchdog with the limits of the config. Call it once.
void watch(World& world, const DistributedConfig& config);

// Trains `config`, or continues the run or branch with the config that resumed_config() (train/run_directory.h)
// returns. A new run that fails before its first step leaves no files. Prints the startup summary and progress. Rank 0
// alone writes, to options.out. Saves before it evaluates. After a stop signal (base/stop_signal.h) on any rank it
// finishes the step and saves; it then returns this rank's signal, or SIGTERM if only another rank got one. Returns 0
// when the run is finished. Throws UserError for bad input, Failure when the machine or the numbers fail; the last
// checkpoint stays valid.
int train(const Config& config, const TrainOptions& options, World& world);

}  // namespace gptmoe
