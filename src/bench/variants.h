#pragma once
// The variants that a benchmark measures in turns: one or two configs, each with several numbers of experts or tokens
// per step.
#include <string>
#include <vector>

#include "config/config.h"
#include "engine/hopper_choice.h"

namespace gptmoe {

struct BenchOptions {
  std::string device, precision, hopper;  // empty: the configs'
  std::string json;                       // as for BenchOutput
  HopperCheck hopper_check = {};          // as for choose_hopper()
};

struct VariantOptions {
  std::vector<std::string> configs, overrides;
  std::vector<int64_t> experts;  // model.num_experts; empty: those of the configs
  std::vector<int64_t> tokens;   // per step of one micro-batch; empty: those of the configs
};

struct Variant {
  std::string label, path;
  size_t place;  // index of its config
  Config config;
  bool hopper = false;  // HopperChoice::used

  int64_t tokens_per_step() const { return config.train.tokens_per_step(); }
};

// All variants of the first config come first. Throws UserError like load_config() and choose_hopper(), if tokens are
// not whole sequences, and if train.micro_batch_size is "auto" and there are no tokens to replace it.
std::vector<Variant> make_variants(const VariantOptions& options, const BenchOptions& bench);

}  // namespace gptmoe
