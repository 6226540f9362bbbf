#pragma once
// Made-up runs whose results are easy to compute by hand.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "report/comparison.h"
#include "support/temporary_folder.h"

namespace gptmoe {

std::string train_line(int64_t step, int64_t tokens, double tokens_per_second);
std::string eval_line(int64_t step, int64_t tokens, double val_loss, double seconds);

// Writes `config` to DIR/config.json, `metrics` to DIR/metrics.jsonl, and the same DIR/provenance.json for every run.
void write_run(const std::filesystem::path& dir, const std::string& metrics,
               const std::string& config = R"({"train": {"steps": 4}})");

// A run in memory with these perplexities; evaluation i is at step i + 1, 100 (i + 1) tokens and 10 (i + 1) seconds.
// All runs come from one build and one machine.
RunLog run_of(const std::vector<double>& perplexities, int64_t planned_steps, int64_t seed = 1);

}  // namespace gptmoe
