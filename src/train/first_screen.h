#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/batches.h"
#include "distributed/world.h"
#include "engine/engine.h"

namespace gptmoe {

// The startup summary that `train` prints before its first step: the work, the device and the memory.
struct FirstScreen {
  const Config& config;  // this rank's
  const std::filesystem::path& out;
  int64_t resumed_step;                    // 0: from the start
  std::vector<std::string> start_weights;  // StartWeights::lines(); empty: initial values, or a resumed run
  const Engine& engine;
  const BatchLoader& train_data;
  const std::vector<NamedText>& val_data;
  const World& world;
  const Ops& ops;
  double matrix_rate;                   // FLOP/s of all ranks
  const std::string& threads_note;      // which threads stay unused (RankThreads::note); empty if none
  const std::string& micro_batch_note;  // how "auto" chose the micro-batch size; empty if it did not
  std::string kernels;                  // HopperChoice::line()

  void print() const;
};

}  // namespace gptmoe
