#include "distributed/mpi/watchdog.h"

#include <algorithm>
#include <cstdio>

#include "distributed/mpi/mpi_check.h"

namespace gptmoe {
namespace {

using Seconds = std::chrono::duration<double>;

// The time between two checks: a quarter of the shorter limit, but at most one second.
std::chrono::steady_clock::duration interval_of(double heartbeat_seconds, double hang_seconds) {
  double seconds = 1;
  for (double allowed : {heartbeat_seconds, hang_seconds})
    if (allowed > 0) seconds = std::min(seconds, allowed / 4);
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(Seconds(seconds));
}

constexpr auto kLeavingInterval = std::chrono::milliseconds(2);
constexpr int kBeat = 0;  // MPI's tag of a heartbeat

}  // namespace

Watchdog::Watchdog(MPI_Comm ranks, World& world, Activity& activity, double heartbeat_seconds, double hang_seconds)
    : world_(world),
      activity_(activity),
      heartbeat_seconds_(heartbeat_seconds),
      hang_seconds_(hang_seconds),
      interval_(interval_of(heartbeat_seconds, hang_seconds)),
      before_((world.rank() + world.size() - 1) % world.size()),
      next_((world.rank() + 1) % world.size()) {
  known_ = heard_ = sent_ = Heartbeat(1 + static_cast<size_t>(world.size()));
  if (heartbeat_seconds > 0) {
    MPI_CHECK(MPI_Comm_dup(ranks, &comm_));
    listen();
  }
  last_heard_ = last_got_on_ = last_any_got_on_ = last_round_ = Clock::now();
  thread_ = std::thread([this] {
    try {
      run();
    } catch (const std::exception& error) {
      give_up(text(world_.name(world_.rank()), ": ", error.what()));
    }
  });
}

Watchdog::~Watchdog() {
  finish(End::goodbye);
  if (comm_ != MPI_COMM_NULL && end_ == End::goodbye) MPI_Comm_free(&comm_);
}

void Watchdog::abandon() { finish(End::at_once); }

void Watchdog::finish(End end) {
  {
    const std::lock_guard lock(mutex_);
    if (end_ != End::at_once) end_ = end;
  }
  ended_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::run() {
  for (End end = End::none; end != End::at_once;) {
    const bool leaving = end == End::goodbye;
    if (round(leaving) && leaving) return;
    std::unique_lock lock(mutex_);
    if (leaving)
      ended_.wait_for(lock, kLeavingInterval, [&] { return end_ == End::at_once; });
    else
      ended_.wait_for(lock, interval_, [&] { return end_ != End::none; });
    end = end_;
  }
}

// Runs one check. Returns whether this rank and the one before have said goodbye.
bool Watchdog::round(bool leaving) {
  const Clock::time_point now = Clock::now();
  if (now - last_round_ > 3 * interval_ + std::chrono::seconds(1)) {
    // This process itself was suspended for a while, so a lack of heartbeats or progress means nothing.
    last_heard_ = last_got_on_ = last_any_got_on_ = now;
  }
  last_round_ = now;
  probe();
  const char* waiting = activity_.waiting;  // before the ticks, see activity.h
  uint64_t& ticks = known_[1 + static_cast<size_t>(world_.rank())];
  if (const uint64_t ticks_now = activity_.ticks; ticks_now != ticks) {
    ticks = ticks_now;
    last_got_on_ = last_any_got_on_ = now;
  }
  if (comm_ == MPI_COMM_NULL) {
    if (!leaving) look_at_progress(now, waiting);
    return true;
  }
  hear(now);
  send(leaving);
  look_at_neighbour(now);
  if (!leaving) look_at_progress(now, waiting);
  return neighbour_left_ && said_goodbye_ && sending_ == MPI_REQUEST_NULL;
}

void Watchdog::probe() {
  const std::lock_guard lock(activity_.probing);
  if (activity_.probe) activity_.probe();
}

void Watchdog::listen() {
  MPI_CHECK(MPI_Irecv(heard_.data(), static_cast<int>(heard_.size()), MPI_UINT64_T, before_, kBeat, comm_, &hearing_));
}

void Watchdog::hear(Clock::time_point now) {
  while (!neighbour_left_) {
    int arrived = 0;
    MPI_CHECK(MPI_Test(&hearing_, &arrived, MPI_STATUS_IGNORE));
    if (!arrived) return;
    last_heard_ = now;
    for (size_t i = 1; i < heard_.size(); ++i) {
      if (heard_[i] <= known_[i]) continue;
      known_[i] = heard_[i];
      last_any_got_on_ = now;
    }
    neighbour_left_ = heard_[0] != 0;
    if (!neighbour_left_) listen();
  }
}

// Sends a heartbeat unless the previous one is still under way. A suspended neighbour does not receive heartbeats.
void Watchdog::send(bool leaving) {
  int gone = 1;
  if (sending_ != MPI_REQUEST_NULL) MPI_CHECK(MPI_Test(&sending_, &gone, MPI_STATUS_IGNORE));
  if (!gone || said_goodbye_) return;
  sent_ = known_;
  sent_[0] = leaving;
  said_goodbye_ = leaving;
  MPI_CHECK(MPI_Isend(sent_.data(), static_cast<int>(sent_.size()), MPI_UINT64_T, next_, kBeat, comm_, &sending_));
}

void Watchdog::look_at_neighbour(Clock::time_point now) {
  if (neighbour_left_ || Seconds(now - last_heard_).count() < heartbeat_seconds_) return;
  give_up(text(world_.name(before_), " has not been heard from for ", heartbeat_seconds_,
               " s: it is stopped or swapping, or its machine or the network failed"));
}

void Watchdog::look_at_progress(Clock::time_point now, const char* waiting) {
  if (hang_seconds_ <= 0 || Seconds(now - last_got_on_).count() < hang_seconds_) return;
  if (!waiting)
    give_up(
        text(world_.name(world_.rank()), " has made no progress for ", hang_seconds_,
             " s and is not waiting for another rank; if its work takes that long, raise distributed.hang_seconds"));
  // If this rank waits for a rank that hangs, that rank reports itself. Ticks take a while to travel around the ring.
  const double patience = hang_seconds_ + std::min(5.0, hang_seconds_) + 2 * Seconds(interval_).count() * world_.size();
  // Each rank waits a little longer than the one below it. So the lowest rank that still runs reports for all.
  const double turn = 2 * Seconds(interval_).count() * world_.rank();
  if (comm_ == MPI_COMM_NULL || Seconds(now - last_any_got_on_).count() < patience + turn) return;
  give_up(text("no rank has made progress for ", static_cast<int64_t>(patience), " s; ", world_.name(world_.rank()),
               " waits for the others in ", waiting, "; if this is expected, raise distributed.hang_seconds"));
}

void Watchdog::give_up(const std::string& message) {
  std::fprintf(stderr, "gptmoe: %s\n", message.c_str());
  world_.abort(1);
}

}  // namespace gptmoe
