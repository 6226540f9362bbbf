// Disturbs every job of tests/torture/job.h and prints how they ended: see tools/torture.sh.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <map>

#include "base/check.h"
#include "torture/bench.h"

namespace gptmoe::torture {
namespace {

struct Arguments {
  std::vector<std::string> jobs;
  std::string programs = build_folder();
  std::vector<std::string> acts = {"EIO", "ENOSPC", "EACCES", "EINTR", "short", "delay", "kill"};
  uint64_t stride = 1, memory_stride = 1, kills = 100, damages = 300, seed = 1;
};

// The outcomes of one kind of disturbance.
class Row {
 public:
  Row(std::string job, std::string kind) : job_(std::move(job)), kind_(std::move(kind)) {}
  ~Row() {
    if (attempts_ == 0) return;
    std::printf("%-17s %-8s %8d %8d %8d %8d %8d %8d\n", job_.c_str(), kind_.c_str(), attempts_,
                ended_[Verdict::survived] + ended_[Verdict::left_over], ended_[Verdict::lost], ended_[Verdict::silent],
                ended_[Verdict::crashed], ended_[Verdict::left_over]);
    std::fflush(stdout);
  }
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;

  void add(const Outcome& outcome) {
    ++attempts_;
    ++ended_[outcome.verdict];
    if (outcome.verdict == Verdict::survived) return;
    constexpr const char* kNames[] = {"survived", "lost", "silent", "crashed", "left over"};
    std::fprintf(stderr, "%s, %s: %s\n", job_.c_str(), kNames[static_cast<int>(outcome.verdict)], outcome.note.c_str());
  }
  int bad() { return attempts_ - ended_[Verdict::survived] - ended_[Verdict::left_over]; }

 private:
  std::string job_, kind_;
  int attempts_ = 0;
  std::map<Verdict, int> ended_;
};

int torture(const Job& job, const Arguments& arguments) {
  int bad = 0;
  Bench bench(job, arguments.programs);
  if (arguments.stride > 0)
    for (const std::string& act : arguments.acts) {
      Row row(job.name, act);
      const uint64_t calls = bench.calls(Calls::files);
      for (uint64_t at = 1; at <= calls; at += arguments.stride) row.add(bench.attempt({Calls::files, at, act}));
      bad += row.bad();
    }
  if (arguments.memory_stride > 0) {
    Row row(job.name, "memory");
    const uint64_t calls = bench.calls(Calls::memory);
    for (uint64_t at = 1; at <= calls; at += arguments.memory_stride)
      row.add(bench.attempt({Calls::memory, at, "EIO"}));
    bad += row.bad();
  }
  const Rng rng(arguments.seed, 3);
  {
    Row row(job.name, "kills");
    for (uint64_t kill = 0; kill < arguments.kills; ++kill)
      row.add(bench.kill_after(1.1 * static_cast<double>(rng.below(kill, 1000)) / 1000, kill % 2 == 0));
    bad += row.bad();
  }
  std::vector<std::string> files = job.reads;
  files.insert(files.end(), job.unsealed.begin(), job.unsealed.end());
  if (!files.empty()) {
    Row row(job.name, "damage");
    constexpr const char* kKinds[] = {"flip", "cut", "zero", "extend", "repeat line", "drop line"};
    for (uint64_t i = 0; i < arguments.damages; ++i)
      row.add(bench.attempt(
          Damage{files[i % files.size()], kKinds[rng.below(1'000'000 + i, 6)], arguments.seed * 1'000'000 + i}));
    bad += row.bad();
  }
  return bad;
}

int run(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Disturbs gptmoe's commands and prints what survived; findings go to standard error");
  app.add_option("--job", arguments.jobs, "Only these jobs");
  app.add_option("--act", arguments.acts, "Only these faults: EIO, ENOSPC, EACCES, EINTR, EMFILE, short, delay, kill");
  app.add_option("--stride", arguments.stride, "Disturb every n-th file call; 0: none")->capture_default_str();
  app.add_option("--memory-stride", arguments.memory_stride, "Fail every n-th allocation; 0: none")
      ->capture_default_str();
  app.add_option("--kills", arguments.kills, "Random kills of each job")->capture_default_str();
  app.add_option("--damages", arguments.damages, "Damaged files for each job that reads some")->capture_default_str();
  app.add_option("--seed", arguments.seed, "Seed of the kills and damages")->capture_default_str();
  app.add_option("--programs", arguments.programs, "Folder of the programs and the libraries to preload [the build's]");
  CLI11_PARSE(app, argc, argv);
  std::printf("%-17s %-8s %8s %8s %8s %8s %8s %8s\n", "job", "fault", "attempts", "survived", "lost", "silent",
              "crashed", "litter");
  int bad = 0;
  for (const Job& job : all_jobs())
    if (arguments.jobs.empty() ||
        std::find(arguments.jobs.begin(), arguments.jobs.end(), job.name) != arguments.jobs.end())
      bad += torture(job, arguments);
  return bad == 0 ? 0 : 1;
}

}  // namespace
}  // namespace gptmoe::torture

int main(int argc, char** argv) try { return gptmoe::torture::run(argc, argv); } catch (const std::exception& error) {
  std::fprintf(stderr, "torture: %s\n", error.what());
  return 2;
}
