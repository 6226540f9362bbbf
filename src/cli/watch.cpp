#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>

#include "base/printable.h"
#include "base/progress.h"
#include "base/stop_signal.h"
#include "base/unix_time.h"
#include "checkpoint/checkpoint.h"
#include "cli/commands.h"
#include "cli/live_lines.h"
#include "cli/path_check.h"
#include "cli/wait.h"
#include "report/find_runs.h"
#include "report/watch_table.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr auto kBetweenLooks = std::chrono::seconds(2);

class Watch {
 public:
  explicit Watch(std::vector<std::string> folders) : folders_(std::move(folders)) {}

  // Finds the runs that exist now and reads what is new in them.
  void look();
  std::vector<std::string> lines() const;
  bool empty() const { return found_.empty(); }
  // Whether something could not be read. Then lines() may lack some runs.
  bool unreadable() const { return !problems_.empty(); }

 private:
  std::string name_of(const fs::path& folder, const fs::path& run) const;

  std::vector<std::string> folders_;
  std::map<fs::path, WatchedRun> runs_;
  std::vector<NamedRun> found_;
  std::vector<std::string> problems_;
};

void Watch::look() {
  std::map<fs::path, WatchedRun> before = std::move(runs_);
  runs_.clear();
  found_.clear();
  problems_.clear();
  ProgressLine progress;  // the first look at long runs takes seconds
  const JobClock clock;
  for (const std::string& folder : folders_) try {
      for (const fs::path& path : find_runs(folder, &problems_)) {
        const auto known = before.find(path);
        const auto [run, added] =
            runs_.emplace(path, known == before.end() ? WatchedRun(path) : std::move(known->second));
        if (!added) continue;
        if (clock.seconds() > 1) progress.show("reading  " + path.string());
        run->second.look(saved_step);
        found_.push_back({name_of(folder, path), &run->second});
      }
    } catch (const UserError& error) {
      problems_.push_back(error.what());
    }
}

// The run's path, without the folder if only one folder is watched.
std::string Watch::name_of(const fs::path& folder, const fs::path& run) const {
  return folders_.size() == 1 && run != folder ? run.lexically_relative(folder).string() : run.string();
}

std::vector<std::string> Watch::lines() const {
  std::vector<std::string> lines = problems_;
  if (found_.empty() && problems_.empty())
    for (const std::string& folder : folders_) lines.push_back(folder + ": holds no run");
  if (found_.empty()) return lines;
  const std::vector<std::string> table = watch_table(found_, unix_time());
  lines.insert(lines.end(), table.begin(), table.end());
  return lines;
}

// Returns the signal that ended the watch, or 0.
int watch_runs(const std::vector<std::string>& folders, bool once) {
  const StopSignal stop;
  LiveLines live(stdout);
  Watch watch(folders);
  const bool repeats = live.live() && !once;
  do {
    watch.look();
    if (!repeats) {
      if (watch.empty())
        user_error(watch.lines().front(),
                   watch.unreadable() ? "" : "; pass a run's folder, or a folder that holds runs");
      for (const std::string& line : watch.lines()) std::printf("%s\n", printable(line).c_str());
      return 0;
    }
    live.show(watch.lines());
  } while (!wait_for_stop(stop, kBetweenLooks));
  return stop.signal();
}

}  // namespace

void add_watch_command(CLI::App& app, Job& job) {
  struct Arguments {
    std::vector<std::string> folders;
    bool once = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "watch", "Show a table of runs and redraw it while they train, until Ctrl-C; in a pipe, print it once");
  command->add_option("folders", arguments->folders, "Run directories, or folders that hold runs")
      ->required()
      ->check(path_given());
  command->add_flag("--once", arguments->once, "Print the table once");
  command->callback([&job, arguments] { job.interrupted_by(watch_runs(arguments->folders, arguments->once)); });
}

}  // namespace gptmoe
