#pragma once
// Code that both modes of `gptmoe eval` use: scores on texts and scores on tasks.
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "cli/checkpoint_config.h"
#include "config/config.h"
#include "inference/paired_score.h"

namespace gptmoe {

// A checkpoint to score. If there are two, messages call them A and B.
struct EvalRun {
  std::filesystem::path checkpoint;
  Config config;  // with the device and precision to use
  Weights weights = Weights::last;
};

// What was scored: {"checkpoint": ...}, and with --weight-ema "weights": "average".
nlohmann::ordered_json run_json(const EvalRun& run);
// The path of the checkpoint, marked A or B if there are two runs. With --weight-ema, the label also says that the
// model uses the average of the weights.
std::string run_label(const std::vector<EvalRun>& runs, size_t run);

struct EvalOutput {
  TokenizerArguments tokenizer;
  std::string json;  // path; empty: no file
};
inline constexpr const char* kJsonOption = "--json";

// Prints the table of paired scores, if there are any. If `file` is open, writes the scores to it as JSON and prints
// its path. The JSON begins with the options. The keys of a single run follow directly; several runs are in the list
// "runs". With two runs, "paired" holds the paired scores. `names` is the heading and the JSON key for the names of the
// paired scores.
void finish_eval(std::optional<AtomicFile>& file, const EvalOutput& output, const nlohmann::ordered_json& options,
                 const std::vector<nlohmann::ordered_json>& runs, const std::vector<PairedScore>& paired,
                 const std::string& names);

}  // namespace gptmoe
