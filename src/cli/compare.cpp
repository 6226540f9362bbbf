#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <numeric>
#include <set>

#include "base/file.h"
#include "base/folder.h"
#include "base/joined.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/made_folders.h"
#include "base/printable.h"
#include "base/seal.h"
#include "base/unfinished.h"
#include "checkpoint/checkpoint.h"
#include "cli/checked_run.h"
#include "cli/commands.h"
#include "cli/compare_data.h"
#include "cli/compare_plan.h"
#include "cli/number_check.h"
#include "cli/path_check.h"
#include "cli/run_jobs.h"
#include "distributed/agree.h"
#include "engine/backend.h"
#include "engine/config_for_rank.h"
#include "records/run_folder.h"
#include "report/labels.h"
#include "report/reports.h"
#include "report/svg_files.h"
#include "report/table.h"
#include "train/metrics.h"
#include "train/micro_batch.h"
#include "train/run_directory.h"
#include "train/start_weights.h"
#include "train/train.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// A run that diverged counts as finished: it would diverge again.
bool finished(const PlannedRun& run) {
  if (!holds_run(run.dir)) return false;
  require_summed_losses(run.dir);
  if (to_json(run_config(run.dir)) != to_json(run.config)) return false;
  require_unedited_config(run.dir);
  if (has_diverged(run.dir)) return true;
  const TrainConfig& train = run.config.train;
  if (!train.tasks.files.empty() && !has_tasks_row(run.dir, train.steps)) return false;
  if (!run.config.data.val.empty()) return has_eval_row(run.dir, train.steps);
  return saved_step(run.dir) == train.steps;
}

std::vector<RunOnData> data_of(const std::vector<PlannedRun>& runs) {
  std::vector<RunOnData> all;
  for (const PlannedRun& run : runs) all.push_back({run.label(), run.dir, run.config.data, run.config.train.init_from});
  return all;
}

// Whether `given`, the path of a run or of a checkpoint, names the checkpoint `stored` or the run that holds it.
bool is_start(const std::string& stored, const std::string& given) {
  const fs::path absolute = fs::weakly_canonical(fs::absolute(given));
  if (stored == given || stored == absolute) return true;
  if (anything_at(stored)) return run_of_checkpoint(stored) == absolute;
  return fs::path(stored).parent_path() == absolute / kCheckpointsFolder;  // compares only the path: the folder is gone
}

// The path of the weights to load if train.init_from is `given`: those from which an existing run of the comparison
// started, or else those that resolve_start() finds now.
std::string start_of(const std::string& given, const std::vector<PlannedRun>& runs) {
  for (const PlannedRun& run : runs)
    if (run.config.train.init_from == given && holds_run(run.dir))
      if (const std::string stored = run_config(run.dir).train.init_from; is_start(stored, given)) return stored;
  return resolve_start(given).string();
}

// If train.init_from names a run, replaces it with the path of one of that run's checkpoints. So all runs of the
// comparison start from the same weights, even if the named run saves newer ones meanwhile.
void fix_starts(std::vector<PlannedArm>& arms, std::vector<PlannedRun>& runs, World& world) {
  std::vector<std::string> names;
  for (const PlannedArm& arm : arms) names.push_back(arm.config.train.init_from);
  check_alike(world, {{"train.init_from", joined(names)}});
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

bool is_auto(const auto& planned) { return planned.config.train.auto_micro_batch(); }

// The micro-batch size of the existing runs that are kept, that is, whose folders are not in `anew`; 0 if there are
// none. Throws UserError if these runs have different sizes, or if an arm cannot use their size on `ranks` ranks.
int64_t size_of_kept_runs(const std::vector<PlannedArm>& arms, const std::vector<PlannedRun>& runs,
                          const std::set<fs::path>& anew, int ranks) {
  int64_t size = 0;
  std::string kept;  // a run with that size
  for (const PlannedRun& run : runs) {
    if (!is_auto(run) || !holds_run(run.dir) || anew.contains(run.dir)) continue;
    const int64_t own = run_config(run.dir).train.micro_batch_size;
    if (size != 0 && own != size)
      user_error("train.micro_batch_size: \"auto\" is one size for all runs, but ", kept, " has ", size, " and ",
                 run.dir.string(), " has ", own, "; choose another --out");
    size = own;
    kept = run.dir.string();
  }
  if (size == 0) return 0;
  for (const PlannedArm& arm : arms) {
    if (!is_auto(arm)) continue;
    const int64_t share = sequences_per_rank(arm.config, ranks);
    if (share % std::min(size, share) != 0)
      user_error("train.micro_batch_size: \"auto\" is one size for all runs, and ", kept, " has ", size,
                 ", which does not divide the ", share, " sequences per step of each rank of ", arm.label(),
                 "; choose another --out");
  }
  return size;
}

// Replaces train.micro_batch_size "auto" with one size for all runs, since results depend a little on the size. This is
// the size of the existing runs that are kept, or else the largest with which every config fits into memory while
// `at_once` runs train.
void fix_micro_batches(std::vector<PlannedArm>& arms, std::vector<PlannedRun>& runs, const std::set<fs::path>& anew,
                       int at_once, World& world) {
  std::vector<const Config*> configs;
  for (const PlannedArm& arm : arms) configs.push_back(&arm.config);
  if (!any_auto_micro_batch(configs, world)) return;
  int64_t size = 0, shared = 0;
  on_root(world, [&] { size = size_of_kept_runs(arms, runs, anew, world.size()); });
  size = std::stoll(world.from_root(std::to_string(size)));
  if (size == 0) {
    agree(world, [&] {
      for (const PlannedArm& arm : arms)
        if (is_auto(arm)) shared = std::gcd(shared, world.size() * sequences_per_rank(arm.config, world.size()));
    });
    for (const PlannedArm& arm : arms) {
      if (!is_auto(arm)) continue;
      Config config = arm.config;
      config.train.global_batch_size = shared;
      assign_devices(config, world);
      const int64_t own = agreed_micro_batch(config, world, {at_once, jobs_per_gpu(at_once)});
      size = size == 0 ? own : std::min(size, own);
    }
    std::printf("micro-batch %s, in every run\n", describe_micro_batch(size).c_str());
  }
  for (PlannedArm& arm : arms)
    if (is_auto(arm)) arm.config.train.micro_batch_size = size;
  for (PlannedRun& run : runs)
    if (is_auto(run)) run.config.train.micro_batch_size = size;
}

// Checks the config of `arm` before any run trains. If all of the arm's `missing` runs continue from a checkpoint, they
// need no start weights, so these may be gone.
void check_arm(const PlannedArm& arm, const std::vector<const PlannedRun*>& missing, World& world) {
  const auto starts = [&](const PlannedRun* run) { return run->arm == &arm && !latest_checkpoint(run->dir); };
  Config config = arm.config;
  if (std::none_of(missing.begin(), missing.end(), starts)) {
    config.train.init_from.clear();
    config.train.init_noise = 0;
  }
  check_run(config, world);
}

// The runs that still have to be trained. They include every run whose folder is in `anew`, a set that only rank 0 has.
// Throws UserError if one of the other folders holds a run that cannot continue with its planned config, or that lost
// its config.json.
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
  std::vector<std::unique_ptr<FolderLock>> locks;  // locks all folders before the first change
  for (const fs::path& folder : folders) locks.push_back(lock_run(folder));
  for (const fs::path& folder : folders) {
    // Renames the folder first. So a kill during the removal leaves nothing that looks like a run.
    const Unfinished doomed = new_unfinished_folder(folder);
    fs::rename(folder, doomed.path);
    fs::remove_all(doomed.path);
    std::printf("retraining  %s: its data or start weights have changed\n", printable(folder.string()).c_str());
  }
}

// Trains the runs one at a time, on the ranks of `world`. Returns the signal that interrupted a run, or 0.
int run_here(const std::vector<const PlannedRun*>& runs, bool restart, World& world) {
  for (size_t i = 0; i < runs.size(); ++i) {
    const PlannedRun& run = *runs[i];
    std::printf("\n== %s (run %zu of %zu)\n", printable(run.label()).c_str(), i + 1, runs.size());
    const TrainOptions options{.out = run.dir,
                               .resume = holds_run(run.dir),
                               .restart = restart,
                               .resume_command = "the same gptmoe compare command again",
                               .hopper_check = own_hopper_check()};
    try {
      if (const int signal = train(run.config, options, world)) return signal;
    } catch (const NumericFailure& failure) {
      std::printf("diverged    %s\n", printable(failure.what()).c_str());
    }
  }
  return 0;
}

std::string job_config(const PlannedRun& run) { return run.dir.string() + ".json"; }

// Makes the folders of the runs and writes the files that their processes need. Changes nothing if a process already
// trains one of the runs. Unlocks the folders at the end, since each run's process locks its own.
void prepare_jobs(const std::vector<const PlannedRun*>& runs, int at_once) {
  MadeFolders made;
  std::vector<std::unique_ptr<FolderLock>> locks;
  for (const PlannedRun* run : runs) {
    made.make(run->dir, "choose another --out");
    locks.push_back(lock_run(run->dir));
  }
  for (const PlannedRun* run : runs) {
    write_text_file(job_config(*run), to_json(run->config).dump(2) + "\n");
    if (at_once > 1) write_text_file(run->dir / kJobsFile, sealed(nlohmann::json{{"at_once", at_once}}.dump()));
  }
}

// Trains `at_once` runs at a time, each in its own process. Each run has its planned config, even if the config's file
// changes meanwhile. Returns the signal that interrupted the runs, or 0.
int run_beside_each_other(const std::vector<const PlannedRun*>& runs, bool restart, int at_once) {
  at_once = std::min(at_once, static_cast<int>(runs.size()));
  prepare_jobs(runs, at_once);
  std::vector<TrainJob> jobs;
  for (const PlannedRun* run : runs) {
    TrainJob job;
    job.label = run->label();
    job.log = run->dir.string() + ".log";
    job.run = run->dir;
    job.arguments = {"train", job_config(*run), "--out", run->dir.string()};
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
      if (run.arm == &arm) arms.back().runs.push_back(read_checked_run(run.dir));
  }
  return arms;
}

// The reference of --reference (report/reference.h); nullopt if the option is not given.
std::optional<Reference> plan_reference(const CompareArguments& arguments) {
  if (arguments.reference.empty()) return std::nullopt;
  if (arguments.configs.size() == 1)
    user_error("--reference ", arguments.reference,
               ": needs a gap between two configs, but only one config is given; add a second one");
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

// The folder of a comparison, which rank 0 keeps locked while this object exists. The constructor makes the folder and
// removes unfinished files that interrupted comparisons left beside the runs.
class ComparisonFolder {
 public:
  // Throws UserError if another process compares runs in the folder, or if the folder cannot be made.
  ComparisonFolder(const fs::path& out, const std::vector<PlannedRun>& runs, World& world) {
    on_root(world, [&] {
      made_.make(out, "choose another --out");
      lock_.emplace(out, "is comparing runs in this folder; wait for it or choose another --out");
      for (const PlannedRun& run : runs) remove_leftovers_in(run.dir.parent_path());
    });
  }

 private:
  MadeFolders made_;
  std::optional<FolderLock> lock_;
};

// Returns the signal that interrupted the comparison, or 0.
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
      user_error("--jobs ", arguments.jobs, " on ", world.size(), " ranks: use either --jobs or several ranks");
  });
  watch(world, arms.front().config.distributed);
  const ComparisonFolder folder(arguments.out, runs, world);
  fix_starts(arms, runs, world);
  std::set<fs::path> anew;
  on_root(world, [&] { anew = runs_on_other_data(data_of(runs), arguments.restart); });
  fix_micro_batches(arms, runs, anew, std::min(arguments.jobs, static_cast<int>(runs.size())), world);
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
  command->add_option("--seeds", arguments->seeds, "Runs per config, with the seeds seed, seed+1, ...")
      ->check(whole_number(1, 1000));
  command
      ->add_option("--sweep", arguments->sweeps,
                   "Train with each value: [CONFIG:]path.to.key=value,value,... (repeatable: trains every combination; "
                   "with CONFIG: only for that config)")
      ->allow_extra_args(false);
  command
      ->add_option("--jobs", arguments->jobs,
                   "Number of runs to train at a time, each with its share of the cores and GPUs")
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
                   "Also draw the gap that another experiment measured: FILE[:PAIR], such as data/paper_curves.json "
                   "(default PAIR: the start of the baseline's config name, up to a \"_\")")
      ->check(path_given());
  command->add_option("--set", arguments->overrides, "Override in every config: path.to.key=value (repeatable)")
      ->allow_extra_args(false);
  command->add_flag("--restart", arguments->restart,
                    "Train anew all runs that were interrupted before their first checkpoint or whose data or start "
                    "weights changed");
  add_ranks_option(*command, arguments->ranks);
  command->callback([&job, arguments] {
    if (!job.launched(arguments->ranks)) job.interrupted_by(run_comparison(*arguments, job.world()));
  });
}

}  // namespace gptmoe
