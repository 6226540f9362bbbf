#pragma once
#include <CLI/CLI.hpp>

#include "cli/eval_run.h"

namespace gptmoe {

// `gptmoe eval RUN`, with --data or --domain.
struct TextArguments {
  std::string data;                  // a glob; empty: the run's validation shards
  std::vector<std::string> domains;  // NAME=GLOB
  int64_t tokens = 0;                // of each text; 0: all

  // Adds the options to `command` and returns them.
  std::vector<CLI::Option*> add_to(CLI::App& command);
};

// Prints every run's loss and perplexity on the texts, with bits per byte where a tokenizer is known. With two runs,
// also prints the paired differences of their losses by window. Opens all shards and counts their bytes before it runs
// a model.
void eval_texts(const std::vector<EvalRun>& runs, const EvalOutput& output, const TextArguments& arguments);

}  // namespace gptmoe
