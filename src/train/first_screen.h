#pragma once
#include <filesystem>
#include <string>

#include "config/config.h"
#include "data/loader.h"
#include "distributed/world.h"
#include "engine/engine.h"

namespace gptmoe {

// What `train` says before its first step: what it will do, on what, in how much memory.
struct FirstScreen {
  const Config& config;  // as a rank trains by it
  const std::filesystem::path& out;
  int64_t resumed_step;  // 0: from the start
  const Engine& engine;
  const TokenLoader& train_data;
  const TokenLoader* val_data;  // null: none
  const World& world;
  const Ops& ops;
  double matrix_rate;               // FLOP/s of all ranks
  const std::string& threads_note;  // why threads are too many, or empty

  void print() const;
};

}  // namespace gptmoe
