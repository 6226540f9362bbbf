#pragma once
// A thread on each rank that checks that the other ranks live and make progress. Each rank sends a heartbeat to the
// next rank and expects one from the previous rank. The heartbeat carries every rank's number of ticks (World::tick()),
// so a rank that waits for others in a collective knows whether any rank still makes progress.
#include <mpi.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "distributed/mpi/activity.h"
#include "distributed/world.h"

namespace gptmoe {

class Watchdog {
 public:
  // Collective. The limits are those of World::watch(); at least one of them is not 0.
  Watchdog(MPI_Comm ranks, World& world, Activity& activity, double heartbeat_seconds, double hang_seconds);
  // Says goodbye to the next rank and watches the previous rank until that rank has said goodbye.
  ~Watchdog();
  // Stops immediately, without telling the others.
  void abandon();

 private:
  using Clock = std::chrono::steady_clock;
  enum class End { none, goodbye, at_once };
  // The first element says whether this heartbeat is the sender's last; the others are the latest known ticks of each
  // rank.
  using Heartbeat = std::vector<uint64_t>;

  void run();
  bool round(bool leaving);
  void probe();
  void listen();
  void hear(Clock::time_point now);
  void send(bool leaving);
  void look_at_neighbour(Clock::time_point now);
  void look_at_progress(Clock::time_point now, const char* waiting);
  void finish(End end);
  void give_up(const std::string& message);

  World& world_;
  Activity& activity_;
  const double heartbeat_seconds_, hang_seconds_;
  const Clock::duration interval_;

  MPI_Comm comm_ = MPI_COMM_NULL;  // null without heartbeats
  const int before_, next_;
  Heartbeat heard_, sent_;
  MPI_Request hearing_ = MPI_REQUEST_NULL, sending_ = MPI_REQUEST_NULL;
  bool neighbour_left_ = false, said_goodbye_ = false;

  // Times of the previous rank's last heartbeat, this rank's last progress, any rank's last progress, the last check.
  Clock::time_point last_heard_, last_got_on_, last_any_got_on_, last_round_;
  Heartbeat known_;  // the latest known ticks of all ranks, including this one

  std::mutex mutex_;
  std::condition_variable ended_;
  End end_ = End::none;
  std::thread thread_;
};

}  // namespace gptmoe
