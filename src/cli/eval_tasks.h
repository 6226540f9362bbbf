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

// Scores the checkpoint's model on the tasks and prints the table. Reports errors in any of the files before it scores
// anything.
void eval_tasks(const std::filesystem::path& checkpoint, const BackendOptions& backend, const TaskArguments& arguments);

}  // namespace gptmoe
