#pragma once
#include <CLI/CLI.hpp>

#include "cli/checkpoint_config.h"
#include "inference/requests.h"

namespace gptmoe {

// `gptmoe eval RUN --task ...`
struct TaskArguments {
  std::vector<std::string> paths;
  std::string tokenizer, out;
  PromptOptions prompt;
  int64_t limit = 0;  // 0: all examples

  // Adds the options to `command`, where they exclude the options that choose shards to score.
  void add_to(CLI::App& command, const std::vector<CLI::Option*>& of_shards);
};

// Scores the model of each checkpoint on the tasks and prints a table for it. Reports errors in any of the files before
// it scores anything with a model. --out holds an object for one checkpoint, and a list of them for several.
void eval_tasks(const std::vector<std::filesystem::path>& checkpoints, const BackendOptions& backend,
                const TaskArguments& arguments);

}  // namespace gptmoe
