#pragma once
// The ranks of one job: their numbers and hosts, and how they exchange values and messages. Collectives on the tensors
// of a run belong to the Communicator (distributed/communicator.h).
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "distributed/communicator.h"

namespace gptmoe {

class World {
 public:
  virtual ~World() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Index among the ranks on this machine.
  virtual int local_rank() const = 0;
  virtual int local_size() const = 0;
  bool is_root() const { return rank() == 0; }  // the one rank that prints and writes
  // The name of a rank's machine.
  virtual const std::string& host(int rank) const = 0;
  // A rank's name in messages: "rank 3 (node7)".
  std::string name(int rank) const { return "rank " + std::to_string(rank) + " (" + host(rank) + ")"; }

  // The functions from barrier() to any() are collective: every rank calls them, in the same order. They block.
  virtual void barrier() = 0;
  // Returns on every rank the values of `mine` of all ranks, by rank.
  virtual std::vector<std::string> all_gather(const std::string& mine) = 0;
  // Returns rank 0's value on every rank.
  virtual std::string from_root(const std::string& mine) = 0;
  // Replaces `values` with their sums over ranks. Every rank gets the same bits.
  virtual void sum(std::span<double> values) = 0;
  // Whether `mine` is true on any rank.
  virtual bool any(bool mine) = 0;

  // These two send bytes from rank `from` to rank 0. Only these two ranks call them, in the same order.
  virtual void send_to_root(const void* data, int64_t bytes) = 0;
  virtual void receive_at_root(void* data, int64_t bytes, int from) = 0;

  // Makes a communicator for tensors in the host's memory. Collective; the world must outlive it.
  virtual std::unique_ptr<Communicator> make_host_communicator() = 0;

  // From now on every rank checks that the others are alive and make progress. Collective; call it once. The job ends
  // with a message about a rank if that rank has been silent for heartbeat_seconds, or has neither called tick() nor
  // waited for other ranks for hang_seconds. The job also ends if all ranks have been waiting for one another for
  // somewhat longer than hang_seconds. A limit of 0 switches its check off. Throws UserError if heartbeats are on and
  // the MPI cannot be called from several threads.
  virtual void watch(double heartbeat_seconds, double hang_seconds) = 0;
  // Reports progress of this rank. Any thread may call it; it costs an atomic addition.
  virtual void tick() = 0;
  // Reports the operation in which this rank's host waits for other ranks; nullptr: it no longer waits. The collectives
  // of World and its communicators call this function themselves. Keeps the pointer, not a copy of the text.
  virtual void waits_in(const char* what) = 0;

  // From now on the watchdog calls `probe` on its own thread with every heartbeat; an exception in it ends the job. An
  // empty probe stops this, and no call is in progress when set_probe() returns.
  virtual void set_probe(std::function<void()> probe) = 0;

  // Ends every rank's process immediately, this one's with `exit_code`.
  [[noreturn]] virtual void abort(int exit_code) = 0;
};

// One rank, even if a launcher started this process.
std::unique_ptr<World> make_single_world();

// Whether a launcher (mpirun, srun, ...) started this process as one of several ranks. See distributed/launcher.h.
bool launched_with_ranks();

// Joins the job that this process was launched into; call it once per process. Without a launcher, the job is one rank,
// and no MPI is used. Throws UserError if the launcher started several ranks and this build has no MPI, or has an MPI
// that does not match the launcher.
std::unique_ptr<World> join_world();

}  // namespace gptmoe
