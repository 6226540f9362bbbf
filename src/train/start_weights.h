#pragma once
// The weights that a new run starts from (train.init_from).
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/initial_weights.h"
#include "config/config.h"
#include "distributed/world.h"
#include "engine/engine.h"
#include "records/run_history.h"

namespace gptmoe {

// The absolute path of the weights that train.init_from names: a checkpoint (the latest one of a run) or a Hugging Face
// folder. Throws UserError if it is neither.
std::filesystem::path resolve_start(const std::filesystem::path& from);
// The checksum of the weights at a path from resolve_start() (StartingWeights::checksum).
std::string start_checksum(const std::filesystem::path& start);

class StartWeights {
 public:
  // Opens the weights and verifies them for the model of `engine`, which needs no memory yet. Throws the errors of
  // InitialWeights and upcycled_output_scale(), and UserError if train.init_noise has no effect.
  StartWeights(const Config& config, const Engine& engine, World& world);

  // Writes the weights over the initial values in the engine's memory.
  void load(const Engine& engine, Memory& memory) const;
  StartingWeights record() const;
  // Lines for the startup summary: where the weights come from, which tensors are copies, missing or left over, and
  // which config keys make the weights compute something else here than in the model that they come from.
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  struct Source;
  StartWeights(const Config& config, const Engine& engine, const std::shared_ptr<const Source>& source);
  static std::shared_ptr<const Source> open(const Config& config, World& world);

  std::shared_ptr<const Source> source_;
  InitialWeights weights_;
  Upcycling upcycling_;
  std::vector<std::string> lines_;
};

}  // namespace gptmoe
