#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <map>
#include <set>

#include "base/file.h"
#include "base/folder.h"
#include "base/json.h"
#include "base/printable.h"
#include "base/seal.h"
#include "base/unfinished.h"
#include "checkpoint/checkpoint.h"
#include "cli/commands.h"
#include "cli/compare_data.h"
#include "cli/number_check.h"
#include "cli/path_check.h"
#include "cli/run_jobs.h"
#include "cli/sweep_arguments.h"
#include "distributed/agree.h"
#include "huggingface/folder_in_progress.h"
#include "records/run_folder.h"
#include "report/labels.h"
#include "report/reports.h"
#include "report/svg_files.h"
#include "report/table.h"
#include "train/given_config.h"
#include "train/metrics.h"
#include "train/run_directory.h"
#include "train/start_weights.h"
#include "train/trainer.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

struct CompareArguments {
  std::vector<std::string> configs, overrides, sweeps, labels;
  std::string out = "runs/compare", svg, reference;
  int64_t seeds = 1;
  int jobs = 1, ranks = 0;
  bool restart = false;
};

// One arm: a config at a point of the sweep.
struct PlannedArm {
  std::string family;
  std::vector<Setting> settings;
  Config config;

  std::string label() const { return family + (settings.empty() ? "" : " " + settings_text(settings)); }
};

struct PlannedRun {
  const PlannedArm* arm;
  Config config;
  fs::path dir;

  std::string label() const { return text(arm->label(), ", seed ", config.seed); }
};

// The config at a point of the sweep. An error in a setting names --sweep, where the setting comes from.
Config load_point(const CompareArguments& arguments, const std::vector<SweepArgument>& sweeps, const std::string& path,
                  const std::vector<Setting>& settings) {
  std::vector<std::string> overrides = arguments.overrides;
  for (const Setting& setting : settings) overrides.push_back(setting.path + "=" + setting.value);
  try {
    return load_given_config(path, overrides);
  } catch (const UserError& error) {
    const std::string what = error.what();
    for (const Setting& setting : settings) {
      const std::string place = "--set " + setting.path;
      if (!what.starts_with(place + ":")) continue;
      const bool of_all = arguments.configs.size() > 1 && std::any_of(sweeps.begin(), sweeps.end(), [&](const auto& s) {
                            return s.path == setting.path && s.only.empty();
                          });
      user_error("--sweep ", setting.path, "=", setting.value, ": ", path, what.substr(place.size()),
                 of_all ? text("; to sweep it in one config only, write --sweep CONFIG:", setting.path, "=...") : "");
    }
    throw;
  }
}

// Families are the configs' file names. They also name folders, so they must differ.
std::vector<PlannedArm> plan_arms(const CompareArguments& arguments) {
  std::vector<SweepArgument> sweeps;
  for (const std::string& argument : arguments.sweeps) sweeps.push_back(parse_sweep(argument));
  std::vector<PlannedArm> arms;
  std::set<std::string> families;
  for (const std::string& path : arguments.configs) {
    const std::string family = fs::path(path).stem().string();
    if (!families.insert(family).second)
      user_error(path, ": two configs are named \"", family, "\"; rename one, since the name labels its curve");
    for (const std::vector<Setting>& settings : sweep_grid(sweeps, family)) {
      PlannedArm arm{family, settings, load_point(arguments, sweeps, path, settings)};
      if (arm.config.seed > std::numeric_limits<int64_t>::max() - (arguments.seeds - 1))
        user_error("--seeds ", arguments.seeds, ": no seeds follow seed = ", arm.config.seed, "; choose a lower seed");
      for (const PlannedArm& other : arms)  // two values may be equal, such as 1e-3 and 0.001
        if (other.family == family && other.config == arm.config)
          user_error("--sweep: ", other.label(), " and ", arm.label(), " are the same run; leave one out");
      arms.push_back(std::move(arm));
    }
  }
  for (const SweepArgument& sweep : sweeps)
    if (!sweep.only.empty() && !families.contains(sweep.only))
      user_error("--sweep ", sweep.only, ":", sweep.path, ": no config here is named \"", sweep.only, "\"");
  if (arms.size() == 1 && arguments.seeds == 1)
    user_error(
        "compare: one config, one seed and no sweep leave nothing to compare; use gptmoe train for a single run");
  return arms;
}

// Ordered seed by seed, so that an interrupted comparison holds whole rounds.
std::vector<PlannedRun> plan_runs(const CompareArguments& arguments, const std::vector<PlannedArm>& arms) {
  std::vector<PlannedRun> runs;
  std::map<fs::path, std::string> labels;
  for (int64_t s = 0; s < arguments.seeds; ++s)
    for (const PlannedArm& arm : arms) {
      PlannedRun run{&arm, arm.config, fs::path(arguments.out) / arm.family};
      run.config.seed += s;
      if (!arm.settings.empty()) {
        std::string folder = settings_text(arm.settings, ",");
        std::replace(folder.begin(), folder.end(), '/', '_');
        run.dir /= folder;
      }
      run.dir /= text("seed_", run.config.seed);
      if (const auto [other, fresh] = labels.emplace(run.dir, arm.label()); !fresh)
        user_error("--sweep: ", other->second, " and ", arm.label(), " would share the folder ", run.dir.string(),
                   "; rename one of the values");
      runs.push_back(std::move(run));
    }
  return runs;
}

// A run that diverged counts as finished: it would diverge again.
bool finished(const PlannedRun& run) {
  if (!holds_run(run.dir)) return false;
  require_summed_losses(run.dir);
  if (to_json(run_config(run.dir)) != to_json(run.config)) return false;
  require_unedited_config(run.dir);
  if (has_diverged(run.dir)) return true;
  if (!run.config.data.val.empty()) return has_eval_row(run.dir, run.config.train.steps);
  return saved_step(run.dir) == run.config.train.steps;
}

std::vector<RunOnData> data_of(const std::vector<PlannedRun>& runs) {
  std::vector<RunOnData> all;
  for (const PlannedRun& run : runs) all.push_back({run.label(), run.dir, run.config.data, run.config.train.init_from});
  return all;
}

// Whether `stored`, a checkpoint of RUN/checkpoints, is what the user gives as `given`: RUN, or the checkpoint itself.
bool is_start(const std::string& stored, const std::string& given) {
  const fs::path absolute = fs::weakly_canonical(fs::absolute(given));
  if (stored == given || stored == absolute) return true;
  if (anything_at(stored)) return run_of_checkpoint(stored) == absolute;
  return fs::path(stored).parent_path() == absolute / kCheckpointsFolder;  // compares only the path: the folder is gone
}

// The checkpoint that runs with train.init_from = `given` start from: the one that an existing run started from, or
// else the latest one now.
std::string start_of(const std::string& given, const std::vector<PlannedRun>& runs) {
  for (const PlannedRun& run : runs)
    if (run.config.train.init_from == given && holds_run(run.dir))
      if (const std::string stored = run_config(run.dir).train.init_from; is_start(stored, given)) return stored;
  return resolve_start(given).string();
}

// Replaces train.init_from by one checkpoint, since the run it names may save another while the runs train.
void fix_starts(std::vector<PlannedArm>& arms, std::vector<PlannedRun>& runs, World& world) {
  std::map<std::string, std::string> starts;
  for (const PlannedArm& arm : arms) {
    const std::string& given = arm.config.train.init_from;
    if (given.empty() || starts.contains(given)) continue;
    std::string start;
    on_root(world, [&] { start = start_of(given, runs); });
    starts[given] = world.from_root(start);
  }
  const auto fix = [&](Config& config) {
    if (!config.train.init_from.empty()) config.train.init_from = starts.at(config.train.init_from);
  };
  for (PlannedArm& arm : arms) fix(arm.config);
  for (PlannedRun& run : runs) fix(run.config);
}

// Checks the arm's config before any of its runs trains. Runs that continue need no weights to start from.
void check_arm(const PlannedArm& arm, const std::vector<const PlannedRun*>& missing, World& world) {
  const auto starts = [&](const PlannedRun* run) { return run->arm == &arm && !latest_checkpoint(run->dir); };
  Config config = arm.config;
  if (std::none_of(missing.begin(), missing.end(), starts)) {
    config.train.init_from.clear();
    config.train.init_noise = 0;
  }
  check_run(config, world);
}

// The runs that still have to be trained. Throws UserError, before any run trains, if a folder holds another run. Runs
// in the folders `anew` (known to rank 0) are trained from the beginning, whatever the folders hold.
std::vector<const PlannedRun*> missing_of(const std::vector<PlannedRun>& runs, const std::set<fs::path>& anew,
                                          World& world) {
  std::vector<const PlannedRun*> missing;
  for (const PlannedRun& run : runs) {
    const bool there = root_says(world, [&] {
      if (anew.contains(run.dir)) return false;
      if (finished(run)) return true;
      require_no_lost_run(run.dir);
      if (holds_run(run.dir)) require_continuable(run.dir, run.config);
      return false;
    });
    if (!there)
      missing.push_back(&run);
    else
      std::printf("reusing     %s\n", printable(run.dir.string()).c_str());
  }
  return missing;
}

void remove_runs(const std::set<fs::path>& folders) {
  for (const fs::path& folder : folders) {
    const auto lock = lock_run(folder);
    // Renamed first: what a kill leaves of it must not look like a run.
    const Unfinished doomed = new_unfinished_folder(folder);
    fs::rename(folder, doomed.path);
    fs::remove_all(doomed.path);
    std::printf("anew        %s: it read other data or weights\n", printable(folder.string()).c_str());
  }
}

// Trains one run after the other, in this process and its ranks. Returns the signal that interrupted it, or 0.
int run_here(const std::vector<const PlannedRun*>& runs, bool restart, World& world) {
  for (size_t i = 0; i < runs.size(); ++i) {
    const PlannedRun& run = *runs[i];
    std::printf("\n== %s (run %zu of %zu)\n", printable(run.label()).c_str(), i + 1, runs.size());
    const TrainOptions options{.out = run.dir,
                               .resume = holds_run(run.dir),
                               .restart = restart,
                               .resume_command = "the same gptmoe compare command again"};
    try {
      if (const int signal = train(run.config, options, world)) return signal;
    } catch (const NumericFailure& failure) {
      std::printf("diverged    %s\n", printable(failure.what()).c_str());
    }
  }
  return 0;
}

// Trains each run with the planned config, even if the config's file changes in the meantime. Returns as
// run_here() does.
int run_beside_each_other(const std::vector<const PlannedRun*>& runs, bool restart, int at_once) {
  at_once = std::min(at_once, static_cast<int>(runs.size()));
  std::vector<TrainJob> jobs;
  for (const PlannedRun* run : runs) {
    std::error_code error;
    fs::create_directories(run->dir, error);
    if (error) user_error(run->dir.string(), ": cannot create: ", error.message());
    if (at_once > 1) write_text_file(run->dir / kJobsFile, sealed(nlohmann::json{{"at_once", at_once}}.dump()));
    const std::string config = run->dir.string() + ".json";
    write_text_file(config, to_json(run->config).dump(2) + "\n");
    TrainJob job;
    job.label = run->label();
    job.log = run->dir.string() + ".log";
    job.run = run->dir;
    job.arguments = {"train", config, "--out", run->dir.string()};
    if (holds_run(run->dir)) job.arguments.push_back("--resume");
    if (holds_run(run->dir) && restart) job.arguments.push_back("--restart");
    job.steps = run->config.train.steps;
    job.ended_as_it_may = [run] { return has_diverged(run->dir); };
    jobs.push_back(std::move(job));
  }
  return run_jobs(jobs, at_once);
}

std::vector<Arm> read_arms(const std::vector<PlannedArm>& planned, const std::vector<PlannedRun>& runs) {
  std::vector<Arm> arms;
  for (const PlannedArm& arm : planned) {
    arms.push_back({arm.label(), {}, arm.family, arm.settings});
    for (const PlannedRun& run : runs)
      if (run.arm == &arm) arms.back().runs.push_back(read_run(run.dir));
  }
  return arms;
}

// Reads the reference pair that the argument names, or else the pair named like the baseline.
std::optional<Reference> plan_reference(const CompareArguments& arguments) {
  if (arguments.reference.empty()) return std::nullopt;
  if (arguments.configs.size() == 1)
    user_error("--reference ", arguments.reference, ": one config has no gap to compare with it; give a second config");
  return read_reference(arguments.reference, fs::path(arguments.configs[0]).stem().string());
}

void write_comparison(const CompareArguments& arguments, std::vector<Arm> arms, std::optional<Reference> reference) {
  label_arms(arms, arguments.labels, true);
  std::optional<Sweep> sweep;
  if (!arguments.sweeps.empty()) sweep = sweep_of(arms);
  Comparison comparison = sweep ? compare_best(*sweep) : compare(std::move(arms));
  if (!comparison.single()) comparison.reference = std::move(reference);
  const Sweep* const swept = sweep ? &*sweep : nullptr;
  const ReportPaths paths = write_reports(arguments.out, comparison, swept);
  if (!arguments.svg.empty()) write_svg_files(arguments.svg, comparison, swept);
  if (sweep) std::printf("\n%s", sweep_text(*sweep).c_str());
  std::printf("\n%s\nreport      %s\n", text_report(comparison).c_str(), printable(paths.html.string()).c_str());
}

// The folder of a comparison while rank 0 of this process works in it. What killed comparisons left there is removed.
class ComparisonFolder {
 public:
  // Throws UserError if another process works there, or if the folder cannot be made.
  ComparisonFolder(const fs::path& out, const std::vector<PlannedRun>& runs, World& world) {
    on_root(world, [&] {
      made_.make(fs::absolute(out));
      lock_.emplace(out, "is comparing runs in this folder; wait for it or choose another --out");
      for (const PlannedRun& run : runs) remove_leftovers_in(run.dir.parent_path());
    });
  }

 private:
  std::optional<FolderLock> lock_;
  MadeFolders made_;  // is gone before the lock is released
};

// Returns the signal that interrupted it, or 0.
int run_comparison(const CompareArguments& arguments, World& world) {
  std::vector<PlannedArm> arms;
  std::vector<PlannedRun> runs;
  std::optional<Reference> reference;
  agree(world, [&] {
    check_labels(arguments.labels, arguments.configs);
    reference = plan_reference(arguments);
    arms = plan_arms(arguments);
    runs = plan_runs(arguments, arms);
    if (arguments.jobs > 1 && world.size() > 1)
      user_error("--jobs ", arguments.jobs, " on ", world.size(), " ranks: choose one of the two");
  });
  watch(world, arms.front().config.distributed);
  const ComparisonFolder folder(arguments.out, runs, world);
  fix_starts(arms, runs, world);
  std::set<fs::path> anew;
  on_root(world, [&] { anew = runs_on_other_data(data_of(runs), arguments.restart); });
  const std::vector<const PlannedRun*> missing = missing_of(runs, anew, world);
  for (const PlannedArm& arm : arms)
    if (std::any_of(missing.begin(), missing.end(), [&](const PlannedRun* run) { return run->arm == &arm; }))
      check_arm(arm, missing, world);
  on_root(world, [&] { remove_runs(anew); });
  const int signal = arguments.jobs > 1 ? run_beside_each_other(missing, arguments.restart, arguments.jobs)
                                        : run_here(missing, arguments.restart, world);
  if (signal != 0)
    std::printf("stopped     run the same gptmoe compare command again to continue\n");
  else if (world.is_root())
    write_comparison(arguments, read_arms(arms, runs), std::move(reference));
  return signal;
}

}  // namespace

void add_compare_command(CLI::App& app, Job& job) {
  auto arguments = std::make_shared<CompareArguments>();
  CLI::App* command = app.add_subcommand(
      "compare", "Train configs side by side (or resume, or reuse finished runs) and report their curves");
  command->add_option("configs", arguments->configs, "Config files; the first is the baseline")
      ->required()
      ->expected(1, 64)
      ->check(path_given());
  command->add_option("--seeds", arguments->seeds, "Runs per config, with seed, seed+1, ...")
      ->check(whole_number(1, 1000));
  command
      ->add_option(
          "--sweep", arguments->sweeps,
          "Train at each value: [CONFIG:]path.to.key=value,value,... (repeatable: a grid; CONFIG: only in that config)")
      ->allow_extra_args(false);
  command->add_option("--jobs", arguments->jobs, "Runs at a time, each with its share of the cores and GPUs")
      ->check(whole_number(1, 1024));
  command
      ->add_option("--label", arguments->labels,
                   "Name of a config in the report (repeatable, in the order of the configs)")
      ->allow_extra_args(false);
  command->add_option("--out", arguments->out, "Directory of the runs and the report")
      ->capture_default_str()
      ->check(path_given());
  command->add_option("--svg", arguments->svg, "Also write the report's charts to this folder, one file each")
      ->check(path_given());
  command
      ->add_option("--reference", arguments->reference,
                   "Draw another experiment's gap beside ours: FILE[:PAIR] (data/paper_curves.json: the paper's; PAIR "
                   "defaults to the name of the baseline's config)")
      ->check(path_given());
  command->add_option("--set", arguments->overrides, "Override in every config: path.to.key=value (repeatable)")
      ->allow_extra_args(false);
  command->add_flag("--restart", arguments->restart,
                    "Restart the runs that were interrupted before their first checkpoint or that read other data");
  add_ranks_option(*command, arguments->ranks);
  command->callback([&job, arguments] {
    if (!job.launched(arguments->ranks)) job.interrupted_by(run_comparison(*arguments, job.world()));
  });
}

}  // namespace gptmoe
