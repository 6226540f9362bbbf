#pragma once
// A thread of each rank that sees whether the others live and get on. Each rank sends a heartbeat to the next and
// expects one of the one before; with it travels how long ago any rank got on, so that a rank that waits for others in
// a collective, which is no fault of its own, knows whether there is anyone left to wait for.
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
  // Collective. Seconds as World::watch() has them, one of them not 0.
  Watchdog(MPI_Comm ranks, World& world, Activity& activity, double heartbeat_seconds, double hang_seconds);
  // Says goodbye to the next rank and goes on watching the one before until that has said goodbye.
  ~Watchdog();
  // Ends at once, without a word to the others.
  void abandon();

 private:
  using Clock = std::chrono::steady_clock;
  enum class End { none, goodbye, at_once };
  // Whether it is the sender's last, then the ticks of each rank, as far as the sender has heard.
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

  // Of the rank before, of this rank, of any.
  Clock::time_point last_heard_, last_got_on_, last_any_got_on_, last_round_;
  Heartbeat known_;  // of all ranks, this one's included

  std::mutex mutex_;
  std::condition_variable ended_;
  End end_ = End::none;
  std::thread thread_;
};

}  // namespace gptmoe
