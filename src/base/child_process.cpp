#include "base/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <optional>
#include <thread>

#include "base/descriptor.h"

extern char** environ;

namespace gptmoe {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMostOutput = 1 << 16;
constexpr auto kToDie = std::chrono::seconds(2);  // after SIGKILL

// What posix_spawn() should do in the child before it runs the program.
class SpawnSettings {
 public:
  explicit SpawnSettings(int output) {
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE}) sigaddset(&signals, signal);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

// Appends the bytes from `pipe` to `output` until the pipe is closed. Returns false if it is still open at `deadline`.
bool read_until_closed(int pipe, Clock::time_point deadline, std::string& output) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waits{pipe, POLLIN, 0};
    if (left <= 0) return false;
    if (poll(&waits, 1, static_cast<int>(left)) <= 0) continue;  // late, or interrupted by a signal
    char bytes[4096];
    const ssize_t count = read(pipe, bytes, sizeof bytes);
    if (count == 0 || (count < 0 && errno != EINTR)) return true;
    if (count > 0) output.append(bytes, std::min(static_cast<size_t>(count), kMostOutput - output.size()));
  }
}

// Waits for a child. Returns its status, or nothing if it has not ended by `deadline`.
std::optional<int> status_before(pid_t child, Clock::time_point deadline) {
  int status = 0;
  while (waitpid(child, &status, WNOHANG) != child) {
    if (Clock::now() >= deadline) return std::nullopt;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return status;
}

}  // namespace

ChildResult run_child(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                      std::chrono::milliseconds limit) {
  const Clock::time_point deadline = Clock::now() + limit;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {ChildResult::End::not_started, errno, ""};
  Descriptor from(ends[0]), to(ends[1]);
  std::vector<std::string> words = {program.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t child = -1;
  {
    const SpawnSettings settings(to.get());
    if (const int error =
            posix_spawn(&child, program.c_str(), &settings.actions, &settings.attributes, argv.data(), environ);
        error != 0)
      return {ChildResult::End::not_started, error, ""};
  }
  to.reset();
  std::string output;
  std::optional<int> status;
  if (read_until_closed(from.get(), deadline, output)) status = status_before(child, deadline);
  if (!status) {
    kill(child, SIGKILL);
    status_before(child, Clock::now() + kToDie);
    return {ChildResult::End::late, 0, output};
  }
  if (WIFEXITED(*status)) return {ChildResult::End::exited, WEXITSTATUS(*status), output};
  return {ChildResult::End::signalled, WTERMSIG(*status), output};
}

}  // namespace gptmoe
