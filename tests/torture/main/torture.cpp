// Disturbs every job of tests/torture/job.h and prints how they ended: see tools/torture.sh.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <memory>
#include <thread>

#include "base/check.h"
#include "base/joined.h"
#include "base/progress.h"
#include "base/stop_signal.h"
#include "torture/campaign.h"

namespace gptmoe::torture {
namespace {

// Makes the attempts on one job that have no outcome yet, until all are made or a stop is requested.
// With `only_count`, makes none of them and prints how many there are.
void torture(const Job& job, const Campaign& campaign, Outcomes& outcomes, const StopSignal& stop, bool only_count) {
  ProgressLine progress;
  progress.show(job.name + ": an undisturbed run");
  std::vector<std::unique_ptr<Bench>> benches;
  benches.push_back(std::make_unique<Bench>(job, campaign.programs));
  std::vector<Attempt> todo = attempts(campaign, job, *benches[0]);
  const size_t all = todo.size();
  std::erase_if(todo, [&](const Attempt& attempt) { return outcomes.has(job.name, attempt); });
  const size_t earlier = all - todo.size();
  if (only_count) {
    // Most attempts run the job twice.
    const double seconds = 2 * benches[0]->seconds() * static_cast<double>(todo.size()) / campaign.parallel;
    progress.clear();
    std::printf("%-17s %8zu of %8zu attempts are to be made, in about %s\n", job.name.c_str(), todo.size(), all,
                clock_time(seconds).c_str());
    std::fflush(stdout);
    return;
  }
  while (std::ssize(benches) < std::min<int64_t>(campaign.parallel, std::ssize(todo)))
    benches.push_back(std::make_unique<Bench>(job, campaign.programs));

  const JobClock clock(static_cast<int64_t>(earlier));
  std::atomic<size_t> next = 0;
  std::atomic<bool> ended = false;
  std::exception_ptr error;
  std::mutex mutex;
  const auto work = [&](Bench& bench) {
    try {
      for (size_t i; !stop.requested() && !ended && (i = next++) < todo.size();) {
        const Outcome outcome = carry_out(todo[i], job, bench);
        outcomes.add(job.name, todo[i], outcome);
        const std::lock_guard lock(mutex);
        progress.show(text(job.name, ": ", todo[i].kind, ", attempt ", earlier + i + 1, " of ", all, ", ",
                           clock.state(static_cast<int64_t>(earlier + i + 1), static_cast<int64_t>(all))));
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
      ended = true;
    }
  };
  {
    std::vector<std::jthread> others;
    for (size_t i = 1; i < benches.size(); ++i) others.emplace_back([&, i] { work(*benches[i]); });
    work(*benches[0]);
  }
  if (error) std::rethrow_exception(error);
}

int run(int argc, char** argv) {
  Campaign campaign;
  std::vector<std::string> names;
  std::string outcomes_path = build_folder() + "/torture.tsv";
  bool retry = false, only_count = false;
  CLI::App app("Disturbs gptmoe's commands, prints a table of what survived, and a line for each finding");
  app.add_option("--job", names, "Only these jobs");
  app.add_option("--act", campaign.acts,
                 "Only these faults: EIO, ENOSPC, EACCES, EINTR, EMFILE, ENOLCK, short, delay, kill");
  app.add_option("--stride", campaign.stride, "Disturb every n-th file call; 0: none")->capture_default_str();
  app.add_option("--memory-stride", campaign.memory_stride, "Fail the allocations of every n-th call stack; 0: none")
      ->capture_default_str();
  app.add_option("--kills", campaign.kills, "Random kills of each job")->capture_default_str();
  app.add_option("--damages", campaign.damages, "Damaged files for each job that reads some")->capture_default_str();
  app.add_option("--seed", campaign.seed, "Seed of the kills and damages")->capture_default_str();
  app.add_option("--parallel", campaign.parallel, "Attempts at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--outcomes", outcomes_path, "File of the outcomes; attempts recorded there are not made again");
  app.add_flag("--retry", retry, "Repeat the attempts that did not survive");
  app.add_flag("--count", only_count, "Print how many attempts are to be made, and make none");
  app.add_option("--programs", campaign.programs, "Folder of the programs and the libraries to preload [the build's]");
  CLI11_PARSE(app, argc, argv);
  for (const std::string& name : names)
    if (std::none_of(all_jobs().begin(), all_jobs().end(), [&](const Job& job) { return job.name == name; })) {
      std::vector<std::string> known;
      for (const Job& job : all_jobs()) known.push_back(job.name);
      user_error("--job ", name, ": unknown; the jobs are: ", joined(known));
    }
  Outcomes outcomes(outcomes_path, retry);
  const StopSignal stop;
  for (const Job& job : all_jobs())
    if (!stop.requested() && (names.empty() || std::find(names.begin(), names.end(), job.name) != names.end()))
      torture(job, campaign, outcomes, stop, only_count);
  if (only_count) return 0;
  std::fputs(outcomes.table(all_jobs()).c_str(), stdout);
  if (stop.requested()) std::fputs("Stopped. The same command continues.\n", stderr);
  if (stop.requested()) return 128 + stop.signal();
  return outcomes.bad() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace gptmoe::torture

int main(int argc, char** argv) try { return gptmoe::torture::run(argc, argv); } catch (const std::exception& error) {
  std::fprintf(stderr, "torture: %s\n", error.what());
  return 2;
}
