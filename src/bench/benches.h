#pragma once
// The four benchmarks of `gptmoe bench`.
#include "bench/output.h"
#include "bench/variants.h"

namespace gptmoe {

// Every benchmark OpCase whose name contains `part`: on a CPU at sizes of small models, on a GPU at those of
// configs/paper/8c1_*.json. Throws UserError where none does.
void bench_ops(const std::string& part, const BenchOptions& options);

// Of each variant one MoE layer, a dense FFN of the same active width and attention, forward and backward, in turns.
void bench_layer(const VariantOptions& variants, int64_t rounds, const BenchOptions& options);

struct StepOptions {
  int64_t steps = 10, warmup = 3, rounds = 3;
  bool account = true;
  std::string svg;
};
// Whole optimizer steps on random tokens, as `gptmoe train` takes them, without loading data, evaluating or saving. All
// variants are in memory and take turns. With `account` as many steps more, op by op.
void bench_step(const VariantOptions& variants, const StepOptions& step, const BenchOptions& options);

struct LoaderBenchOptions {
  std::string data;  // shards, a glob; a config (.json); empty: shards made up for it
  int64_t sequence_length = 2048, batch = 8;
};
void bench_loader(const LoaderBenchOptions& loader, const BenchOptions& options);

}  // namespace gptmoe
