#pragma once
// Hand-made run directories whose numbers a test can check in its head.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "report/comparison.h"
#include "support/temporary_folder.h"

namespace gptmoe {

std::string train_line(int64_t step, int64_t tokens, double tokens_per_second);
std::string eval_line(int64_t step, int64_t tokens, double val_loss, double seconds);

// Writes DIR/config.json and DIR/metrics.jsonl as they stand, and the same DIR/provenance.json for all.
void write_run(const std::filesystem::path& dir, const std::string& metrics,
               const std::string& config = R"({"train": {"steps": 4}})");

// A run in memory: evals at step i + 1, 100 (i + 1) tokens, 10 (i + 1) seconds, of these perplexities.
// All by one build on one machine.
RunLog run_of(const std::vector<double>& perplexities, int64_t planned_steps, int64_t seed = 1);

}  // namespace gptmoe
