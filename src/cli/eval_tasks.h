#pragma once
#include <CLI/CLI.hpp>

#include "cli/eval_run.h"
#include "inference/prompts.h"

namespace gptmoe {

// `gptmoe eval RUN --task ...`
struct TaskArguments {
  std::vector<std::string> paths;
  std::string samples;  // a path; empty: no file
  PromptOptions prompt;
  int64_t limit = 0;  // 0: all examples

  // Adds the options to `command`. They exclude `of_texts`, the options that choose texts to score.
  void add_to(CLI::App& command, const std::vector<CLI::Option*>& of_texts);
};

// Scores the runs' models on the tasks and prints a table for each, and with two runs the paired tests of each score.
// Every file is read once, so both runs are scored on the same examples with the same shots. Reports errors in any of
// the files before it scores anything.
void eval_tasks(const std::vector<EvalRun>& runs, const EvalOutput& output, const TaskArguments& arguments);

}  // namespace gptmoe
