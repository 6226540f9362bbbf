#pragma once
// The four benchmarks of `gptmoe bench`.
#include "bench/output.h"
#include "bench/variants.h"

namespace gptmoe {

// Runs every benchmark OpCase whose name contains `part`: on a CPU with the sizes of small models, on a GPU with those
// of configs/paper/8c1_*.json. Throws UserError if no name contains `part`.
void bench_ops(const std::string& part, const BenchOptions& options);

// Runs the MoE layer and the attention of each variant, and a dense FFN as wide as the experts that a token uses,
// forward and backward. The variants take turns.
void bench_layer(const VariantOptions& variants, int64_t rounds, const BenchOptions& options);

struct StepOptions {
  int64_t steps = 10, warmup = 3, rounds = 3;
  bool account = true;
  std::string svg;
};
// Runs whole optimizer steps on random tokens, as `gptmoe train` does, but without loading data, evaluating or saving.
// All variants are in memory and run in turns. With `account`, also runs the same number of steps op by op.
void bench_step(const VariantOptions& variants, const StepOptions& step, const BenchOptions& options);

struct LoaderBenchOptions {
  std::string data;  // a glob of shards, or a config (.json); empty: generated shards
  int64_t sequence_length = 2048, batch = 8;
};
void bench_loader(const LoaderBenchOptions& loader, const BenchOptions& options);

}  // namespace gptmoe
