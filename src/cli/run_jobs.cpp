#include "cli/run_jobs.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <sstream>
#include <string_view>
#include <thread>

#include "base/check.h"
#include "base/cores.h"
#include "base/file.h"
#include "base/printable.h"
#include "base/progress.h"
#include "base/stop_signal.h"
#include "base/unix_time.h"
#include "checkpoint/checkpoint.h"
#include "cli/live_lines.h"
#include "records/run_folder.h"
#include "report/number_text.h"
#include "report/watch_table.h"

namespace gptmoe {
namespace {

constexpr auto kLook = std::chrono::milliseconds(100);

// The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES accepts.
std::vector<std::string> gpus() {
  std::vector<std::string> names;
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) {
    std::istringstream list(visible);
    list.exceptions(std::ios::badbit);  // running out of memory must not look like the list's end
    for (std::string name; std::getline(list, name, ',');) names.push_back(name);
    return names;
  }
  for (int i = 0; std::filesystem::exists("/dev/nvidia" + std::to_string(i)); ++i) names.push_back(std::to_string(i));
  return names;
}

// The last line of the log, without the program's name: this process prints the name itself.
std::string last_line(const std::filesystem::path& log) {
  std::istringstream lines(read_text_file(log));
  std::string last;
  for (std::string line; std::getline(lines, line);)
    if (!line.empty()) last = line;
  constexpr std::string_view kName = "gptmoe: ";
  return last.starts_with(kName) ? last.substr(kName.size()) : last;
}

// ": loss 3.2153, validation perplexity 29.12"; figures that are not known are left out.
std::string figures_text(const WatchedRun& run) {
  std::string words;
  if (std::isfinite(run.loss())) words = ": loss " + fixed(run.loss(), 4);
  if (std::isfinite(run.perplexity()))
    words += text(words.empty() ? ": " : ", ", "validation perplexity ", perplexity_text(run.perplexity()));
  return words;
}

// Reads what the run has written, if it has begun. If files cannot be read, sets run.problem() and throws nothing,
// since the process that trains the run may continue.
void look_at(WatchedRun& run) {
  bool begun = true;
  try {
    begun = holds_run(run.dir());
  } catch (const UserError&) {
  }
  if (begun) run.look(saved_step);
}

class Jobs {
 public:
  Jobs(const std::vector<TrainJob>& jobs, int at_once) : jobs_(jobs), slots_(static_cast<size_t>(at_once)) {
    for (const TrainJob& job : jobs) steps_ += job.steps;
  }
  ~Jobs() {
    for (const auto& slot : slots_)
      if (slot) kill(slot->pid, SIGKILL), waitpid(slot->pid, nullptr, 0);
  }
  Jobs(const Jobs&) = delete;
  Jobs& operator=(const Jobs&) = delete;

  int run();

 private:
  struct Running {
    pid_t pid;
    size_t job;
    WatchedRun run;
  };

  bool idle() const {
    return std::none_of(slots_.begin(), slots_.end(), [](const auto& slot) { return slot.has_value(); });
  }
  void start(size_t slot);
  // Runs the job's program in the forked process, which calls this. An exception ends that process at once: unwinding
  // would reach its copy of ~Jobs(), which kills the other jobs.
  [[noreturn]] void become(const TrainJob& job, size_t slot) const noexcept;
  void look(size_t slot);
  void stop_all();
  void show();

  const std::vector<TrainJob>& jobs_;
  std::vector<std::optional<Running>> slots_;
  size_t next_ = 0;
  int64_t steps_ = 0;        // of all jobs
  int64_t steps_ended_ = 0;  // of jobs that have ended
  bool stopping_ = false;
  std::string failure_;
  const std::vector<std::string> gpus_ = gpus();
  LiveLines live_{stderr};
  std::optional<JobClock> clock_;
  std::chrono::steady_clock::time_point shown_{};
};

int Jobs::run() {
  const StopSignal stop;
  while (true) {
    for (size_t slot = 0; slot < slots_.size(); ++slot) {
      if (slots_[slot]) look(slot);
      if (!slots_[slot] && !stopping_ && next_ < jobs_.size()) start(slot);
    }
    if (idle()) break;
    if (stop.requested() && !stopping_) stop_all();
    show();
    std::this_thread::sleep_for(kLook);
  }
  live_.clear();
  if (!failure_.empty()) throw Failure(failure_);
  return stopping_ ? stop.signal() : 0;
}

// Starts a job in its own process group: a terminal's Ctrl-C reaches only this process, which passes it on. If this
// process is killed, the job saves and ends.
void Jobs::start(size_t slot) {
  const TrainJob& job = jobs_[next_];
  WatchedRun run(job.run);  // made before the process starts, since this may throw
  const pid_t parent = getpid();
  std::fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) throw Failure(text("cannot start ", job.label, ": ", std::strerror(errno)));
  if (pid == 0) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1);
    become(job, slot);
  }
  slots_[slot] = {pid, next_++, std::move(run)};
}

void Jobs::become(const TrainJob& job, size_t slot) const noexcept {
  const int log = open(job.log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
  const int nothing = open("/dev/null", O_RDONLY);
  if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0 || dup2(nothing, STDIN_FILENO) < 0)
    _exit(1);
  const int threads = std::max(1, usable_cores() / static_cast<int>(slots_.size()));
  setenv("OMP_NUM_THREADS", std::to_string(threads).c_str(), 0);
  if (gpus_.size() > 1) setenv("CUDA_VISIBLE_DEVICES", gpus_[slot % gpus_.size()].c_str(), 1);
  std::vector<std::string> words = job.arguments;
  std::vector<char*> arguments = {const_cast<char*>("gptmoe")};
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1})
    if (struct sigaction now{}; sigaction(signal, nullptr, &now) == 0 && now.sa_handler != SIG_IGN)
      std::signal(signal, SIG_DFL);
  execv("/proc/self/exe", arguments.data());
  dprintf(STDERR_FILENO, "gptmoe: cannot start itself: %s\n", std::strerror(errno));
  _exit(1);
}

void Jobs::look(size_t slot) {
  int status = 0;
  if (waitpid(slots_[slot]->pid, &status, WNOHANG) != slots_[slot]->pid) return;
  const TrainJob& job = jobs_[slots_[slot]->job];
  WatchedRun run = std::move(slots_[slot]->run);
  slots_[slot].reset();
  look_at(run);
  live_.clear();
  // If SIGTERM ended a job before the job could handle signals, the job had nothing to save.
  const bool stopped = stopping_ && (WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) - 128) == SIGTERM;
  if (stopped || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
    steps_ended_ += stopped ? run.step() : job.steps;
    std::printf("%-11s %s%s\n", stopped ? "stopped" : "done", printable(job.label).c_str(), figures_text(run).c_str());
  } else if (WIFEXITED(status) && job.ended_as_it_may()) {
    steps_ended_ += job.steps;
    std::printf("%-11s %s: %s\n", "ended", printable(job.label).c_str(), printable(last_line(job.log)).c_str());
  } else {
    const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status) - 128;
    const std::string why = signal > 0 ? text("ended by signal ", signal) : last_line(job.log);
    if (failure_.empty()) failure_ = text(job.label, ": ", why, " (", job.log.string(), ")");
    if (!stopping_) stop_all();
  }
  std::fflush(stdout);
}

void Jobs::stop_all() {
  stopping_ = true;
  for (const auto& slot : slots_)
    if (slot) kill(slot->pid, SIGTERM);
}

void Jobs::show() {
  const auto now = std::chrono::steady_clock::now();
  if (!live_.live() || now - shown_ < std::chrono::seconds(1)) return;
  shown_ = now;
  int64_t done = steps_ended_;
  std::vector<NamedRun> runs;
  for (auto& slot : slots_) {
    if (!slot) continue;
    look_at(slot->run);
    done += slot->run.step();
    runs.push_back({jobs_[slot->job].label, &slot->run, stopping_ ? "stopping" : "training"});
  }
  if (!clock_) clock_.emplace(done);
  std::vector<std::string> lines = watch_table(runs, unix_time());
  lines.insert(lines.begin(), text("run ", next_, " of ", jobs_.size(), ", ", clock_->state(done, steps_)));
  live_.show(lines);
}

}  // namespace

int run_jobs(const std::vector<TrainJob>& jobs, int at_once) {
  return Jobs(jobs, std::min(at_once, static_cast<int>(jobs.size()))).run();
}

int jobs_per_gpu(int at_once) {
  const int devices = std::max(1, static_cast<int>(gpus().size()));
  return (at_once + devices - 1) / devices;
}

}  // namespace gptmoe
