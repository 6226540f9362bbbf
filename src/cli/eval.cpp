#include <cstdio>

#include "cli/checkpoint_config.h"
#include "cli/commands.h"
#include "cli/eval_tasks.h"
#include "cli/number_check.h"
#include "engine/backend.h"
#include "engine/memory_check.h"
#include "inference/evaluate.h"
#include "report/find_runs.h"
#include "train/run_directory.h"

namespace gptmoe {
namespace {

struct EvalArguments {
  std::string run, data;
  int64_t tokens = 0;
  BackendOptions backend;
  TaskArguments tasks;
};

void eval_shards(const std::filesystem::path& checkpoint, const EvalArguments& arguments) {
  const Config config = checkpoint_config(checkpoint, arguments.backend);
  const std::string data = arguments.data.empty() ? config.data.val : arguments.data;
  if (data.empty()) user_error("the run has no validation data; pass --data GLOB");
  const TokenLoader loader({data, config.train.sequence_length, config.model.vocab_size, WindowOrder::sequential});

  const auto ops = make_backend(config);
  const auto world = make_single_world();
  const auto communicator = world->make_host_communicator();
  Engine engine(config, Purpose::forward, config.train.micro_batch_size, config.train.sequence_length, *ops);
  require_room(config, engine, *ops, ops->memory());
  engine.commit(*ops);
  load_model(checkpoint, engine.gpt().params(), engine.gpt().state(), ops->memory());
  const EvalResult result = evaluate(engine, *ops, *communicator, *world, loader, arguments.tokens);
  std::printf("%s: loss %.6f nats/token, perplexity %.4f over %lld tokens of %s\n", checkpoint.c_str(), result.loss,
              result.perplexity, static_cast<long long>(result.tokens), data.c_str());
  std::fflush(stdout);
}

// The checkpoint at `path`, or the last one of every run below it.
std::vector<std::filesystem::path> checkpoints_of(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path) || holds_run(path) || find_runs(path).empty())
    return {resolve_checkpoint(path)};
  std::vector<std::filesystem::path> checkpoints;
  for (const std::filesystem::path& run : find_runs_by_arm(path)) checkpoints.push_back(resolve_checkpoint(run));
  return checkpoints;
}

}  // namespace

void add_eval_command(CLI::App& app) {
  auto arguments = std::make_shared<EvalArguments>();
  CLI::App* command =
      app.add_subcommand("eval", "Perplexity of a checkpoint on token shards, or its scores on downstream tasks");
  command
      ->add_option("run", arguments->run,
                   "Run directory (its last checkpoint), checkpoint, or a folder that holds several runs")
      ->required();
  CLI::Option* data =
      command->add_option("--data", arguments->data, "Shards to score, a glob (default: the run's validation shards)");
  CLI::Option* tokens = command->add_option("--tokens", arguments->tokens, "Score only the first n tokens (0: all)")
                            ->check(whole_number(0));
  arguments->tasks.add_to(*command, {data, tokens});
  arguments->backend.add_to(*command);
  command->callback([arguments] {
    const std::vector<std::filesystem::path> checkpoints = checkpoints_of(arguments->run);
    if (!arguments->tasks.paths.empty()) return eval_tasks(checkpoints, arguments->backend, arguments->tasks);
    for (const std::filesystem::path& checkpoint : checkpoints) eval_shards(checkpoint, *arguments);
  });
}

}  // namespace gptmoe
