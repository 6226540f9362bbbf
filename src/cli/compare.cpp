#include <cstdio>
#include <filesystem>
#include <set>

#include "cli/commands.h"
#include "dist/agree.h"
#include "report/reports.h"
#include "report/table.h"
#include "routing/routing_policy.h"
#include "train/checkpoint.h"
#include "train/metrics.h"
#include "train/run_directory.h"
#include "train/trainer.h"

namespace gptmoe {
namespace {

struct Arguments {
  std::vector<std::string> configs, overrides;
  std::string out = "runs/compare";
  int64_t seeds = 1;
  int ranks = 0;
};

struct PlannedArm {
  std::string label;
  Config config;
};

// Labels are the configs' file names; they name folders too, so they must differ.
std::vector<PlannedArm> plan_arms(const Arguments& arguments) {
  std::vector<PlannedArm> arms;
  std::set<std::string> labels;
  for (const std::string& path : arguments.configs) {
    const std::string label = std::filesystem::path(path).stem().string();
    if (!labels.insert(label).second)
      user_error(path, ": two configs are named \"", label, "\"; rename one, its name labels the curve");
    arms.push_back({label, load_config(path, arguments.overrides, check_router)});
  }
  return arms;
}

bool finished(const std::filesystem::path& run_dir, const Config& config) {
  if (!holds_run(run_dir) || to_json(run_config(run_dir)) != to_json(config)) return false;
  if (!config.data.val.empty()) return has_eval_row(run_dir, config.train.steps);
  const auto saved = latest_checkpoint(run_dir);
  return saved && read_checkpoint_state(*saved).at("step") == config.train.steps;
}

}  // namespace

void add_compare_command(CLI::App& app, Job& job) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "compare", "Train configs side by side (or resume, or reuse finished runs) and report their curves");
  command->add_option("configs", arguments->configs, "Config files; the first is the baseline")
      ->required()
      ->expected(2, 64);
  command->add_option("--seeds", arguments->seeds, "Runs per config, with seed, seed+1, ...")
      ->check(CLI::Range(1, 1000));
  command->add_option("--out", arguments->out, "Directory of the runs and the report")->capture_default_str();
  command->add_option("--set", arguments->overrides, "Override in every config: path.to.key=value (repeatable)")
      ->allow_extra_args(false);
  add_ranks_option(*command, arguments->ranks);
  command->callback([&job, arguments] {
    if (job.launched(arguments->ranks)) return;
    World& world = job.world();
    const std::filesystem::path out = arguments->out;
    std::vector<PlannedArm> planned;
    agree(world, [&] { planned = plan_arms(*arguments); });
    watch(world, planned.front().config.distributed);
    std::vector<Arm> arms;
    for (const PlannedArm& arm : planned) {
      check_run(arm.config, world);  // before the first trains for hours
      arms.push_back({arm.label, {}});
    }

    // Seed by seed, so that an interrupted comparison holds pairs.
    for (int64_t s = 0; s < arguments->seeds; ++s) {
      for (size_t i = 0; i < planned.size(); ++i) {
        Config config = planned[i].config;
        config.seed += s;
        const std::filesystem::path run_dir = out / planned[i].label / ("seed_" + std::to_string(config.seed));
        if (root_says(world, [&] { return finished(run_dir, config); })) {
          std::printf("reusing     %s\n", run_dir.c_str());
        } else {
          std::printf("\n== %s, seed %lld (run %lld of %lld)\n", planned[i].label.c_str(),
                      static_cast<long long>(config.seed),
                      static_cast<long long>(s * std::ssize(planned) + static_cast<int64_t>(i) + 1),
                      static_cast<long long>(arguments->seeds * std::ssize(planned)));
          const TrainOptions options{run_dir, holds_run(run_dir), "the same gptmoe compare command again"};
          if (train(config, options, world) == TrainOutcome::interrupted) return;
        }
        if (world.is_root()) arms[i].runs.push_back(read_run(run_dir));
      }
    }
    if (!world.is_root()) return;
    const Comparison comparison = compare(std::move(arms));
    const ReportPaths paths = write_reports(out, comparison);
    std::printf("\n%s\nreport      %s\n", text_report(comparison).c_str(), paths.html.c_str());
  });
}

}  // namespace gptmoe
