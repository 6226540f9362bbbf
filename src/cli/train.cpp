#include <filesystem>

#include "cli/commands.h"
#include "cli/shell_words.h"
#include "distributed/agree.h"
#include "routing/router_table.h"
#include "train/trainer.h"

namespace gptmoe {
namespace {

struct TrainArguments {
  std::string config, out;
  std::vector<std::string> overrides;
  bool resume = false;
  int ranks = 0;
};

std::string resume_command(const std::string& program, const TrainArguments& arguments, const std::string& out,
                           int ranks) {
  std::string command = ranks > 1 && arguments.ranks == 0 ? "mpirun -np " + std::to_string(ranks) + " " : "";
  command += shell_word(program) + " train " + shell_word(arguments.config) + " --out " + shell_word(out) + " --resume";
  for (const std::string& override_ : arguments.overrides) command += " --set " + shell_word(override_);
  if (arguments.ranks > 0) command += " --ranks " + std::to_string(arguments.ranks);
  return command;
}

}  // namespace

void add_train_command(CLI::App& app, Job& job) {
  auto arguments = std::make_shared<TrainArguments>();
  CLI::App* command = app.add_subcommand("train", "Train the run that a config describes");
  command->add_option("config", arguments->config, "Config file (JSON)")->required();
  command->add_option("--out", arguments->out, "Run directory (default: runs/ and the config's name)");
  command->add_option("--set", arguments->overrides, "Override: path.to.key=value (repeatable)")
      ->allow_extra_args(false);
  command->add_flag("--resume", arguments->resume, "Continue from the run directory's last checkpoint");
  add_ranks_option(*command, arguments->ranks);
  command->callback([&app, &job, arguments] {
    if (job.launched(arguments->ranks)) return;
    World& world = job.world();
    Config config;
    agree(world, [&] { config = load_config(arguments->config, arguments->overrides, check_router); });
    watch(world, config.distributed);
    const std::string out =
        arguments->out.empty() ? "runs/" + std::filesystem::path(arguments->config).stem().string() : arguments->out;
    train(config, {out, arguments->resume, resume_command(app.get_name(), *arguments, out, world.size())}, world);
  });
}

}  // namespace gptmoe
