#include "train/train.h"

#include <filesystem>

#include "cli/commands.h"
#include "cli/path_check.h"
#include "cli/shell_words.h"
#include "distributed/agree.h"
#include "train/given_config.h"

namespace gptmoe {
namespace {

struct TrainArguments {
  std::string config, out, branch, init_from;
  std::vector<std::string> overrides;
  bool resume = false, restart = false;
  int ranks = 0;
};

std::string resume_command(const std::string& program, const TrainArguments& arguments, const std::string& out,
                           int ranks) {
  std::string command = ranks > 1 && arguments.ranks == 0 ? "mpirun -np " + std::to_string(ranks) + " " : "";
  command += shell_word(program) + " train " + shell_word(arguments.config) + " --out " + shell_word(out) + " --resume";
  for (const std::string& override_ : arguments.overrides) command += " --set " + shell_word(override_);
  if (!arguments.init_from.empty()) command += " --init-from " + shell_word(arguments.init_from);
  if (arguments.ranks > 0) command += " --ranks " + std::to_string(arguments.ranks);
  return command;
}

}  // namespace

void add_train_command(CLI::App& app, Job& job) {
  auto arguments = std::make_shared<TrainArguments>();
  CLI::App* command = app.add_subcommand("train", "Train the run that a config describes");
  command->add_option("config", arguments->config, "Config file (JSON)")->required()->check(path_given());
  command->add_option("--out", arguments->out, "Run directory (default: runs/ and the config's name)")
      ->check(path_given());
  command->add_option("--set", arguments->overrides, "Override: path.to.key=value (repeatable)")
      ->allow_extra_args(false);
  CLI::Option* resume =
      command->add_flag("--resume", arguments->resume, "Continue from the run directory's last checkpoint");
  command->add_flag("--restart", arguments->restart, "Start over if the run to resume has no checkpoint")
      ->needs(resume);
  CLI::Option* branch =
      command
          ->add_option("--branch", arguments->branch,
                       "Start from the full state of another run (its last checkpoint) or of a checkpoint")
          ->check(path_given())
          ->excludes(resume);
  command
      ->add_option("--init-from", arguments->init_from,
                   "Start from the weights of a run, a checkpoint or a Hugging Face folder, with a fresh optimizer "
                   "(train.init_from)")
      ->check(path_given())
      ->excludes(branch);
  add_ranks_option(*command, arguments->ranks);
  command->callback([&app, &job, arguments] {
    if (job.launched(arguments->ranks)) return;
    World& world = job.world();
    const std::string out =
        arguments->out.empty() ? "runs/" + std::filesystem::path(arguments->config).stem().string() : arguments->out;
    Config config;
    agree(world, [&] {
      config = load_given_config(arguments->config, arguments->overrides, arguments->resume ? out : arguments->branch);
    });
    if (!arguments->init_from.empty()) config.train.init_from = arguments->init_from;
    watch(world, config.distributed);
    TrainOptions options;
    options.out = out;
    options.resume = arguments->resume;
    options.branch = arguments->branch;
    options.restart = arguments->restart;
    options.hopper_check = own_hopper_check();
    for (const std::string& override_ : arguments->overrides)
      options.set.push_back(override_.substr(0, override_.find('=')));
    options.resume_command = resume_command(app.get_name(), *arguments, out, world.size());
    job.interrupted_by(train(config, options, world));
  });
}

}  // namespace gptmoe
