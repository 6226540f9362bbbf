#pragma once
// Runs the program as a user would: in its own process. stdout and stderr are redirected to files, never to a terminal;
// standard input is a file or closed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/file.h"
#include "support/test_folders.h"

namespace gptmoe::testing {

struct ProcessOptions {
  int threads = 1;
  int64_t largest_file = 0;                   // size limit of any file in bytes, to mimic a full disk; 0: no limit
  bool as_nobody = false;                     // run without root's rights
  std::string input = "/dev/null";            // the file that is standard input; empty: standard input is closed
  std::vector<std::string> environment = {};  // variables to set, as NAME=VALUE, or to unset, as NAME
  std::string output = "";                    // standard output and error go to the files OUTPUTstdout and OUTPUTstderr
  bool own_group = false;                     // lead a new process group, which its child processes join
};

struct ProcessResult {
  int exit_code = -1;  // -1: ended by `signal`
  int signal = 0;
  std::string out, err;
  int64_t peak_resident_bytes = 0;
};

class Process {
 public:
  // Starts arguments[0] in `folder`. Its output goes to two files there (ProcessOptions::output).
  Process(const std::filesystem::path& folder, std::vector<std::string> arguments, const ProcessOptions& options = {})
      : output_(options.output), folder_(folder) {
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) become(argv.data(), options);
  }
  ~Process() {
    if (pid_ > 0) {
      kill(SIGKILL);
      wait();
    }
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t id() const { return pid_; }
  void kill(int signal) { ::kill(pid_, signal); }

  ProcessResult wait() {
    int status = 0;
    rusage usage{};
    while (wait4(pid_, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    ProcessResult result;
    if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
    result.peak_resident_bytes = int64_t{usage.ru_maxrss} * 1024;
    result.out = read_text_file(folder_ / (output_ + "stdout"));
    result.err = read_text_file(folder_ / (output_ + "stderr"));
    return result;
  }

  bool running() {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
  }
  // Waits until `condition` holds or the process has ended.
  template <typename Condition>
  void wait_until(Condition condition) {
    while (running() && !condition()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

 private:
  [[noreturn]] void become(char** argv, const ProcessOptions& options) {
    const auto open_as = [&](const std::string& name, int flags, int fd) { dup2(open(name.c_str(), flags, 0644), fd); };
    if (chdir(folder_.c_str()) != 0) _exit(126);
    if (options.input.empty())
      close(0);
    else
      open_as(options.input, O_RDONLY | O_NOCTTY, 0);
    open_as(options.output + "stdout", O_WRONLY | O_CREAT | O_TRUNC, 1);
    open_as(options.output + "stderr", O_WRONLY | O_CREAT | O_TRUNC, 2);
    if (options.largest_file > 0) {
      ::signal(SIGXFSZ, SIG_DFL);
      const rlimit limit{static_cast<rlim_t>(options.largest_file), static_cast<rlim_t>(options.largest_file)};
      setrlimit(RLIMIT_FSIZE, &limit);
    }
    constexpr uid_t kNobody = 65534;
    if (options.as_nobody && geteuid() == 0 && (setgid(kNobody) != 0 || setuid(kNobody) != 0)) _exit(126);
    if (options.own_group) setpgid(0, 0);
    for (const int interrupt : {SIGINT, SIGQUIT})
      ::signal(interrupt, SIG_DFL);  // a shell makes its background jobs ignore them
    setenv("OMP_NUM_THREADS", std::to_string(options.threads).c_str(), 1);
    for (const std::string& variable : options.environment) {
      const size_t equals = variable.find('=');
      if (equals == std::string::npos)
        unsetenv(variable.c_str());
      else
        setenv(variable.substr(0, equals).c_str(), variable.substr(equals + 1).c_str(), 1);
    }
    execv(argv[0], argv);
    _exit(127);
  }

  std::string output_;
  std::filesystem::path folder_;
  pid_t pid_ = -1;
};

inline ProcessResult run(const std::filesystem::path& folder, std::vector<std::string> arguments,
                         const ProcessOptions& options = {}) {
  return Process(folder, std::move(arguments), options).wait();
}

inline std::string gptmoe_binary() { return build_folder() + "/gptmoe"; }

// Runs gptmoe with these arguments.
inline ProcessResult run_gptmoe(const std::filesystem::path& folder, std::vector<std::string> arguments,
                                const ProcessOptions& options = {}) {
  arguments.insert(arguments.begin(), gptmoe_binary());
  return run(folder, std::move(arguments), options);
}

}  // namespace gptmoe::testing
