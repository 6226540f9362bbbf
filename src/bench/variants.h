#pragma once
// What is measured in turns: one or two configs, and of each several numbers of experts or of tokens in a step.
#include <string>
#include <vector>

#include "config/config.h"

namespace gptmoe {

struct BenchOptions {
  std::string device, precision;  // empty: the configs'
  std::string json;               // as BenchOutput takes it
};

struct VariantOptions {
  std::vector<std::string> configs, overrides;
  std::vector<int64_t> experts;  // model.num_experts; empty: the configs'
  std::vector<int64_t> tokens;   // of a step of one micro-batch; empty: the configs'
};

struct Variant {
  std::string label, path;
  size_t place;  // of its config among the given ones
  Config config;

  int64_t tokens_per_step() const { return config.train.tokens_per_step(); }
};

// With configs outermost. Throws UserError like load_config(), and where tokens are no whole sequences.
std::vector<Variant> make_variants(const VariantOptions& options, const BenchOptions& bench);

}  // namespace gptmoe
