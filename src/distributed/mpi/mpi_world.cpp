#include "distributed/mpi/mpi_world.h"

#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>

#include "distributed/mpi/mpi_check.h"
#include "distributed/mpi/mpi_communicator.h"
#include "distributed/mpi/watchdog.h"

namespace gptmoe {
namespace {

constexpr int64_t kMostBytes = int64_t{1} << 30;
// How long MPI may take to end the job. Then this process ends, which launchers notice.
constexpr unsigned kAbortSeconds = 5;

class MpiWorld final : public World {
 public:
  MpiWorld(int ranks, const std::string& launcher);
  ~MpiWorld() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  const std::string& host(int rank) const override { return hosts_.at(static_cast<size_t>(rank)); }
  void barrier() override;
  std::vector<std::string> all_gather(const std::string& mine) override;
  std::string from_root(const std::string& mine) override;
  void sum(std::span<double> values) override;
  bool any(bool mine) override;
  void send_to_root(const void* data, int64_t bytes) override;
  void receive_at_root(void* data, int64_t bytes, int from) override;
  std::unique_ptr<Communicator> make_host_communicator() override {
    return std::make_unique<MpiCommunicator>(ranks_, activity_);
  }
  void watch(double heartbeat_seconds, double hang_seconds) override;
  void tick() override { ++activity_.ticks; }
  void waits_in(const char* what) override {
    tick();  // first, see activity.h
    activity_.waiting = what;
  }
  void set_probe(std::function<void()> probe) override {
    const std::lock_guard lock(activity_.probing);
    activity_.probe = std::move(probe);
  }
  void abort(int exit_code) override;

 private:
  MPI_Comm ranks_;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  bool threads_ = false;  // several threads may call MPI
  std::vector<std::string> hosts_;
  Activity activity_;
  std::optional<Watchdog> watchdog_;
};

MpiWorld::MpiWorld(int ranks, const std::string& launcher) {
  int provided = MPI_THREAD_SINGLE;
  MPI_CHECK(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided));
  threads_ = provided == MPI_THREAD_MULTIPLE;
  MPI_CHECK(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
  MPI_CHECK(MPI_Comm_dup(MPI_COMM_WORLD, &ranks_));
  MPI_CHECK(MPI_Comm_rank(ranks_, &rank_));
  MPI_CHECK(MPI_Comm_size(ranks_, &size_));
  if (size_ != ranks)
    user_error(launcher, " started ", ranks, " processes, but MPI finds ", size_, " rank(s): use ",
               launcher == "srun" ? "srun --mpi=pmix (srun --mpi=list shows the choices), or mpirun in the allocation"
                                  : "the mpirun of the MPI that gptmoe was built with");
  MPI_Comm local;
  MPI_CHECK(MPI_Comm_split_type(ranks_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &local));
  MPI_CHECK(MPI_Comm_rank(local, &local_rank_));
  MPI_CHECK(MPI_Comm_size(local, &local_size_));
  MPI_CHECK(MPI_Comm_free(&local));
  char host[MPI_MAX_PROCESSOR_NAME] = "";
  int length = 0;
  MPI_CHECK(MPI_Get_processor_name(host, &length));
  hosts_ = all_gather({host, static_cast<size_t>(length)});
}

MpiWorld::~MpiWorld() {
  if (std::uncaught_exceptions() > 0) {
    if (watchdog_) watchdog_->abandon();
    return;
  }
  watchdog_.reset();
  MPI_Comm_free(&ranks_);
  MPI_Finalize();
}

void MpiWorld::barrier() {
  const WaitingIn waiting(activity_, "barrier");
  MPI_CHECK(MPI_Barrier(ranks_));
}

std::vector<std::string> MpiWorld::all_gather(const std::string& mine) {
  const WaitingIn waiting(activity_, "all_gather");
  const auto ours = static_cast<int64_t>(mine.size());
  std::vector<int64_t> sizes(static_cast<size_t>(size_));
  MPI_CHECK(MPI_Allgather(&ours, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, ranks_));
  std::vector<int> counts, at;
  int64_t bytes = 0;
  for (int64_t size : sizes) {
    counts.push_back(static_cast<int>(size));
    at.push_back(static_cast<int>(bytes));
    bytes += size;
    GPTMOE_CHECK(bytes <= INT_MAX, "texts of all ranks together");
  }
  std::string all(static_cast<size_t>(bytes), '\0');
  MPI_CHECK(MPI_Allgatherv(mine.data(), static_cast<int>(ours), MPI_CHAR, all.data(), counts.data(), at.data(),
                           MPI_CHAR, ranks_));
  std::vector<std::string> texts;
  for (size_t r = 0; r < counts.size(); ++r)
    texts.push_back(all.substr(static_cast<size_t>(at[r]), static_cast<size_t>(counts[r])));
  return texts;
}

std::string MpiWorld::from_root(const std::string& mine) {
  const WaitingIn waiting(activity_, "from_root");
  auto size = static_cast<int64_t>(mine.size());
  MPI_CHECK(MPI_Bcast(&size, 1, MPI_INT64_T, 0, ranks_));
  GPTMOE_CHECK(size <= INT_MAX, "text of rank 0");
  std::string text = is_root() ? mine : std::string(static_cast<size_t>(size), '\0');
  MPI_CHECK(MPI_Bcast(text.data(), static_cast<int>(size), MPI_CHAR, 0, ranks_));
  return text;
}

void MpiWorld::sum(std::span<double> values) {
  const WaitingIn waiting(activity_, "sum");
  const auto count = static_cast<int>(values.size());
  std::vector<double> all(values.size() * static_cast<size_t>(size_));
  MPI_CHECK(MPI_Allgather(values.data(), count, MPI_DOUBLE, all.data(), count, MPI_DOUBLE, ranks_));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = all[i];
    for (size_t r = 1; r < static_cast<size_t>(size_); ++r) values[i] += all[r * values.size() + i];
  }
}

bool MpiWorld::any(bool mine) {
  const WaitingIn waiting(activity_, "any");
  int ours = mine, anyone = 0;
  MPI_CHECK(MPI_Allreduce(&ours, &anyone, 1, MPI_INT, MPI_LOR, ranks_));
  return anyone != 0;
}

void MpiWorld::send_to_root(const void* data, int64_t bytes) {
  const WaitingIn waiting(activity_, "send_to_root");
  const char* next = static_cast<const char*>(data);
  for (int64_t left = bytes; left > 0; left -= kMostBytes, next += kMostBytes)
    MPI_CHECK(MPI_Send(next, static_cast<int>(std::min(left, kMostBytes)), MPI_CHAR, 0, 0, ranks_));
}

void MpiWorld::receive_at_root(void* data, int64_t bytes, int from) {
  const WaitingIn waiting(activity_, "receive_at_root");
  char* next = static_cast<char*>(data);
  for (int64_t left = bytes; left > 0; left -= kMostBytes, next += kMostBytes) {
    const auto expected = static_cast<int>(std::min(left, kMostBytes));
    MPI_Status status;
    int received = 0;
    MPI_CHECK(MPI_Recv(next, expected, MPI_CHAR, from, 0, ranks_, &status));
    MPI_CHECK(MPI_Get_count(&status, MPI_CHAR, &received));
    GPTMOE_CHECK(received == expected, received, " bytes of ", expected, " from rank ", from);
  }
}

void MpiWorld::watch(double heartbeat_seconds, double hang_seconds) {
  if (heartbeat_seconds <= 0 && hang_seconds <= 0) return;
  if (heartbeat_seconds > 0 && !threads_)
    user_error(
        "heartbeats need an MPI that several threads may call (MPI_THREAD_MULTIPLE), and this MPI "
        "does not allow it; switch heartbeats off: --set distributed.heartbeat_seconds=0");
  watchdog_.emplace(ranks_, *this, activity_, heartbeat_seconds, hang_seconds);
}

void MpiWorld::abort(int exit_code) {
  std::signal(SIGALRM, SIG_DFL);
  alarm(kAbortSeconds);
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace

std::unique_ptr<World> make_mpi_world(int ranks, const std::string& launcher) {
  return std::make_unique<MpiWorld>(ranks, launcher);
}

}  // namespace gptmoe
