#include "base/file.h"
#include "cli/checkpoint_config.h"
#include "cli/commands.h"
#include "cli/eval_run.h"
#include "cli/eval_tasks.h"
#include "cli/eval_texts.h"
#include "cli/path_check.h"
#include "records/run_folder.h"
#include "report/find_runs.h"

namespace gptmoe {
namespace {

struct EvalArguments {
  std::vector<std::string> runs;
  EvalOutput output;
  TextArguments texts;
  TaskArguments tasks;
  BackendOptions backend;
  WeightsOption weights;
};

// The checkpoint at `path`, or the last one of every run below it.
std::vector<HeldCheckpoint> checkpoints_of(const std::filesystem::path& path) {
  std::vector<HeldCheckpoint> checkpoints;
  if (file_type_at(path) != std::filesystem::file_type::directory || holds_run(path) || find_runs(path).empty())
    checkpoints.push_back(hold_model(path));
  else
    for (const std::filesystem::path& run : find_runs_by_arm(path)) checkpoints.push_back(hold_model(run));
  return checkpoints;
}

void run(const EvalArguments& arguments) {
  std::vector<HeldCheckpoint> held;  // locked until all are scored
  std::vector<EvalRun> runs;
  for (const std::string& argument : arguments.runs)
    for (HeldCheckpoint& checkpoint : checkpoints_of(argument)) {
      runs.push_back(
          {checkpoint.path, checkpoint_config(checkpoint.path, arguments.backend), arguments.weights.weights()});
      held.push_back(std::move(checkpoint));
    }
  if (arguments.tasks.paths.empty())
    eval_texts(runs, arguments.output, arguments.texts);
  else
    eval_tasks(runs, arguments.output, arguments.tasks);
}

}  // namespace

void add_eval_command(CLI::App& app) {
  auto arguments = std::make_shared<EvalArguments>();
  CLI::App* command = app.add_subcommand(
      "eval", "Measure a checkpoint's perplexity on token shards, or score it on tasks; compare two checkpoints");
  command
      ->add_option(
          "run", arguments->runs,
          "Run directory (scores its last checkpoint), checkpoint, or folder of runs; two checkpoints are compared")
      ->required()
      ->expected(1, 2)
      ->check(path_given());
  const std::vector<CLI::Option*> of_texts = arguments->texts.add_to(*command);
  arguments->tasks.add_to(*command, of_texts);
  arguments->output.tokenizer.add_to(*command);
  command->add_option(text(kJsonOption, ",--out"), arguments->output.json, "Also write the scores to this JSON file")
      ->check(path_given());
  arguments->backend.add_to(*command);
  arguments->weights.add_to(*command);
  command->callback([arguments] { run(*arguments); });
}

}  // namespace gptmoe
