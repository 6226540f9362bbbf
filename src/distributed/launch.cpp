#include "distributed/launch.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/progress.h"

extern char** environ;

namespace gptmoe {
namespace {

#ifdef GPTMOE_MPI
constexpr bool kBuiltWithMpi = true;
#else
constexpr bool kBuiltWithMpi = false;
#endif
constexpr const char* kSocketVariable = "GPTMOE_LAUNCH_SOCKET";
int launching_process = -1;                          // on a rank, the socket to the launching process
constexpr auto kPatience = std::chrono::seconds(5);  // how long ranks may take to end after a second signal

[[noreturn]] void fail(const char* what) {
  throw Failure(text("cannot start ranks: ", what, ": ", std::strerror(errno)));
}

// Sets an abstract address, which disappears with its socket. Returns its length.
socklen_t address_of(const std::string& name, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  std::copy_n(name.data(), std::min(name.size(), sizeof address.sun_path - 1), address.sun_path + 1);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
}

// Sets environment variables for mpirun. With these settings, mpirun starts the requested number of ranks, not bound to
// cores, even as root. It prints no messages of its own, and ends ranks without a delay. The user's settings take
// precedence.
void prepare_environment(const std::string& socket_name) {
  static constexpr const char* kSettings[][2] = {{"EVENT_NOEPOLL", "1"},  // libevent's warnings of closed pipes
                                                 {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                                                 {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                                                 {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
                                                 {"OMPI_MCA_hwloc_base_binding_policy", "none"},
                                                 {"OMPI_MCA_orte_execute_quiet", "1"},
                                                 {"OMPI_MCA_odls_base_sigkill_timeout", "0"},
                                                 {"PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"},
                                                 {"PRTE_MCA_hwloc_default_binding_policy", "none"},
                                                 {"PRTE_MCA_prte_execute_quiet", "1"},
                                                 {"PRTE_MCA_odls_base_sigkill_timeout", "0"}};
  for (const auto& [name, value] : kSettings) setenv(name, value, 0);
  setenv(kSocketVariable, socket_name.c_str(), 1);
  setenv(kTerminalColumns, std::to_string(terminal_columns()).c_str(), 1);
  // Inside a batch system's allocation, mpirun would start ranks on the other machines too.
  std::vector<std::string> batch_variables;
  for (char** entry = environ; *entry; ++entry)
    for (const char* prefix : {"SLURM_", "PBS_", "LSB_", "PE_HOSTFILE"})
      if (std::string_view(*entry).starts_with(prefix)) batch_variables.emplace_back(*entry, std::strcspn(*entry, "="));
  for (const std::string& name : batch_variables) unsetenv(name.c_str());
}

class Launch {
 public:
  Launch(int ranks, double heartbeat_seconds, char** argv);
  ~Launch();
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;
  int run();

 private:
  struct Rank {
    int socket, number;
    pid_t pid;
  };

  void listen();
  void block_signals();
  void start(int ranks, char** argv);
  void look();
  int wait_milliseconds() const;
  bool all_gone() const { return first_gone_ && ranks_.empty(); }
  bool overdue() const;
  void kill_all();
  bool accept_rank();
  void hear_signal();
  void hear_rank(int socket);
  void watch_for(int fd);
  void stop(int signal);
  int ended() const;

  pid_t mpirun_ = -1;
  int events_ = -1, listening_ = -1, signals_ = -1;
  sigset_t unblocked_;
  std::vector<Rank> ranks_;
  int expected_, started_ = 0;
  std::optional<int> first_gone_;                  // the rank that ended first
  std::chrono::steady_clock::time_point gone_at_;  // when the last rank ended
  double heartbeat_seconds_;
  bool stuck_ = false;         // mpirun did not end, so it was killed
  bool said_stopped_ = false;  // a rank has reported that a signal stopped it
  int first_stop_ = 0, second_stop_ = 0;
  std::chrono::steady_clock::time_point told_to_end_;
  std::optional<int> status_;  // mpirun's exit status
};

Launch::Launch(int ranks, double heartbeat_seconds, char** argv)
    : expected_(ranks), heartbeat_seconds_(heartbeat_seconds) {
  events_ = epoll_create1(EPOLL_CLOEXEC);
  if (events_ < 0) fail("epoll");
  listen();
  block_signals();
  start(ranks, argv);
}

Launch::~Launch() {
  for (const Rank& rank : ranks_) close(rank.socket);
  for (int fd : {events_, listening_, signals_})
    if (fd >= 0) close(fd);
  sigprocmask(SIG_SETMASK, &unblocked_, nullptr);
}

void Launch::listen() {
  const std::string name = text("gptmoe-", getpid(), "-", std::chrono::steady_clock::now().time_since_epoch().count());
  sockaddr_un address;
  const socklen_t size = address_of(name, address);
  listening_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listening_ < 0 || bind(listening_, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(listening_, SOMAXCONN) != 0)
    fail("socket");
  watch_for(listening_);
  prepare_environment(name);
}

// Blocks SIGCHLD and the stop signals, to read them from a descriptor. Ignored signals, as under nohup, stay ignored.
void Launch::block_signals() {
  sigset_t taken;
  sigemptyset(&taken);
  sigaddset(&taken, SIGCHLD);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_IGN) sigaddset(&taken, signal);
  }
  sigprocmask(SIG_BLOCK, &taken, &unblocked_);
  signals_ = signalfd(-1, &taken, SFD_CLOEXEC);
  if (signals_ < 0) fail("signalfd");
  watch_for(signals_);
}

// Starts mpirun in a process group of its own, so that the terminal's Ctrl-C reaches this process alone.
void Launch::start(int ranks, char** argv) {
  std::string count = std::to_string(ranks);
  std::vector<char*> command = {const_cast<char*>("mpirun"), const_cast<char*>("-n"), count.data()};
  for (char** argument = argv; *argument; ++argument) command.push_back(*argument);
  command.push_back(nullptr);
  int failure[2];
  if (pipe2(failure, O_CLOEXEC) != 0) fail("pipe");
  const pid_t parent = getpid();
  mpirun_ = fork();
  if (mpirun_ < 0) fail("fork");
  if (mpirun_ == 0) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1);
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    std::signal(SIGTTOU, SIG_IGN);  // so that it may print on any terminal
    sigprocmask(SIG_SETMASK, &unblocked_, nullptr);
    execvp(command[0], command.data());
    const int reason = errno;
    _exit(write(failure[1], &reason, sizeof reason) == sizeof reason ? 127 : 126);
  }
  close(failure[1]);
  int reason = 0;
  const bool failed = read(failure[0], &reason, sizeof reason) == sizeof reason;
  close(failure[0]);
  if (!failed) return;
  waitpid(mpirun_, nullptr, 0);
  user_error("--ranks ", ranks, ": mpirun: ", std::strerror(reason),
             "; install Open MPI (Debian, Ubuntu: openmpi-bin) or put its mpirun into PATH");
}

int Launch::run() {
  while (!status_) look();
  return ended();
}

void Launch::watch_for(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (epoll_ctl(events_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll");
}

// Waits for one event or a timeout, and handles it. Kills the ranks and mpirun if they take too long to end.
void Launch::look() {
  epoll_event event{};
  const int found = epoll_wait(events_, &event, 1, wait_milliseconds());
  if (found < 0 && errno != EINTR) fail("epoll");
  if (found == 1) {
    if (event.data.fd == listening_)
      accept_rank();
    else if (event.data.fd == signals_)
      hear_signal();
    else
      hear_rank(event.data.fd);
  }
  if (second_stop_ && !status_ && std::chrono::steady_clock::now() - told_to_end_ > kPatience) kill_all();
  if (!stuck_ && !status_ && overdue()) {
    stuck_ = true;
    kill_all();
  }
}

int Launch::wait_milliseconds() const { return second_stop_ || (all_gone() && heartbeat_seconds_ > 0) ? 200 : -1; }

// Whether mpirun should have returned by now. The clock starts when the last rank ends, because one rank may work
// longer than the others, for example to write a report.
bool Launch::overdue() const {
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - gone_at_;
  return all_gone() && heartbeat_seconds_ > 0 && since.count() > heartbeat_seconds_;
}

// Kills the ranks and mpirun's process group: mpirun and the processes that it started on this machine, except those
// that made groups of their own.
void Launch::kill_all() {
  for (const Rank& rank : ranks_) ::kill(rank.pid, SIGKILL);
  ::kill(-mpirun_, SIGKILL);
}

// Returns whether a rank was waiting to connect.
bool Launch::accept_rank() {
  const int socket = accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
  if (socket < 0) return false;
  ucred peer{};
  socklen_t size = sizeof peer;
  int number = 0;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != geteuid() ||
      recv(socket, &number, sizeof number, 0) != sizeof number) {
    close(socket);
    return true;
  }
  ++started_;
  ranks_.push_back({socket, number, peer.pid});
  if (first_stop_ && !second_stop_) ::kill(peer.pid, SIGUSR1);  // it connected too late to get the signal from mpirun
  watch_for(socket);
  return true;
}

// Reads from a rank's socket. A rank sends the run's heartbeat_seconds, and one byte if a signal stopped it. If the
// socket is readable without a message, the rank has ended.
void Launch::hear_rank(int socket) {
  double heartbeat = 0;
  if (const ssize_t bytes = recv(socket, &heartbeat, sizeof heartbeat, 0); bytes > 0) {
    if (bytes == sizeof heartbeat)
      heartbeat_seconds_ = heartbeat;
    else
      said_stopped_ = true;
    return;
  }
  const auto rank = std::find_if(ranks_.begin(), ranks_.end(), [&](const Rank& each) { return each.socket == socket; });
  if (!first_gone_) first_gone_ = rank->number;
  close(socket);
  ranks_.erase(rank);
  gone_at_ = std::chrono::steady_clock::now();
}

void Launch::hear_signal() {
  signalfd_siginfo info{};
  if (read(signals_, &info, sizeof info) != sizeof info) return;
  const auto signal = static_cast<int>(info.ssi_signo);
  if (signal != SIGCHLD) return stop(signal);
  int status = 0;
  if (waitpid(mpirun_, &status, WNOHANG) == mpirun_ && (WIFEXITED(status) || WIFSIGNALED(status))) status_ = status;
}

void Launch::stop(int signal) {
  if (!first_stop_) {
    while (accept_rank()) {
    }  // ranks that have connected get the signal from mpirun
    first_stop_ = signal;
    ::kill(mpirun_, SIGUSR1);
  } else if (!second_stop_) {
    second_stop_ = signal;
    told_to_end_ = std::chrono::steady_clock::now();
    ::kill(mpirun_, SIGTERM);
  }
}

std::string ended_by(int signal) { return text("ended by signal ", signal, " (", strsignal(signal), ")"); }

// Prints why the job ended, unless it ended well or was stopped, and returns the exit code. Does not return if a second
// stop signal ended the ranks.
int Launch::ended() const {
  const int code = WIFEXITED(*status_) ? WEXITSTATUS(*status_) : 128 + WTERMSIG(*status_);
  if (second_stop_) {
    std::signal(second_stop_, SIG_DFL);
    raise(second_stop_);
    sigprocmask(SIG_SETMASK, &unblocked_, nullptr);
  }
  if (stuck_) {
    std::fprintf(
        stderr,
        "gptmoe: mpirun was still running %g s after the last rank ended, so it was killed; continue with --resume\n",
        heartbeat_seconds_);
    return 1;
  }
  if (first_stop_ && code == 128 + SIGUSR1) return 128 + first_stop_;  // the ranks received SIGUSR1 in its place
  // A rank that never connected may have been the first to end.
  const bool named = first_gone_ && started_ == expected_;
  if (said_stopped_) return code;
  if (code > 128 && started_ > 0)
    std::fprintf(stderr, "gptmoe: %s was %s%s\n",
                 named ? text("rank ", *first_gone_).c_str() : "a rank, before all ranks had started,",
                 ended_by(code - 128).c_str(),
                 code - 128 == SIGKILL ? ", by hand or by the system when memory ran out" : "");
  else if (code != 0 && started_ == 0)
    std::fprintf(stderr, "gptmoe: mpirun started no rank (%s); to see why, run: mpirun -n 2 hostname\n",
                 code > 128 ? ended_by(code - 128).c_str() : text("exit code ", code).c_str());
  return code;
}

}  // namespace

int launch_ranks(int ranks, double heartbeat_seconds, char** argv) {
  if (!kBuiltWithMpi) user_error("--ranks ", ranks, ": ", kNoMpi);
  return Launch(ranks, heartbeat_seconds, argv).run();
}

bool started_by_launch() { return std::getenv(kSocketVariable) != nullptr; }

void tell_launching_process(int rank) {
  const char* name = std::getenv(kSocketVariable);
  if (!name) return;
  sockaddr_un address;
  const socklen_t size = address_of(name, address);
  // The socket stays open until this process ends, since the launcher waits for that end. If the launcher is gone,
  // mpirun is about to end this process.
  launching_process = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (connect(launching_process, reinterpret_cast<const sockaddr*>(&address), size) == 0)
    (void)!send(launching_process, &rank, sizeof rank, MSG_NOSIGNAL);
}

void tell_heartbeat(double seconds) {
  if (launching_process >= 0) (void)!send(launching_process, &seconds, sizeof seconds, MSG_NOSIGNAL);
}

void tell_of_stop() {
  const char stopped = 1;
  if (launching_process >= 0) (void)!send(launching_process, &stopped, sizeof stopped, MSG_NOSIGNAL);
}

}  // namespace gptmoe
