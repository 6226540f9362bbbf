#pragma once
// The processes of one job, on their hosts: who they are, and how they agree. Collectives on the tensors of a run are
// the Communicator's (distributed/communicator.h).
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
  // Among the ranks on this machine.
  virtual int local_rank() const = 0;
  virtual int local_size() const = 0;
  bool is_root() const { return rank() == 0; }  // the one rank that prints and writes
  // The name of the machine that a rank is on.
  virtual const std::string& host(int rank) const = 0;
  // As messages call a rank: "rank 3 (node7)".
  std::string name(int rank) const { return "rank " + std::to_string(rank) + " (" + host(rank) + ")"; }

  // All of these are collective: every rank calls them, in the same order. They block.
  virtual void barrier() = 0;
  // What each rank gave, by rank, on every rank.
  virtual std::vector<std::string> all_gather(const std::string& mine) = 0;
  // What rank 0 gave, on every rank.
  virtual std::string from_root(const std::string& mine) = 0;
  // values = their sums over ranks, the same bits on every rank.
  virtual void sum(std::span<double> values) = 0;
  // Whether it is true on any rank.
  virtual bool any(bool mine) = 0;

  // From rank `from` to rank 0; only these two call, in the same order.
  virtual void send_to_root(const void* data, int64_t bytes) = 0;
  virtual void receive_at_root(void* data, int64_t bytes, int from) = 0;

  // Over tensors in the host's memory. Collective; the world must outlive it.
  virtual std::unique_ptr<Communicator> make_host_communicator() = 0;

  // From now on every rank watches that the others live and get on; collective, once. Names the rank and ends the job
  // when one has not been heard from for heartbeat_seconds, or has neither called tick() nor waited for other ranks for
  // hang_seconds, or when all have waited that long. 0 switches either off. Throws UserError where the MPI at hand does
  // not let several threads call it.
  virtual void watch(double heartbeat_seconds, double hang_seconds) = 0;
  // This rank gets on. Any thread; costs an atomic addition.
  virtual void tick() = 0;
  // What this rank's host waits in for other ranks from now on, nullptr for nothing; the collectives of World and of
  // its communicators say so themselves. Keeps the pointer.
  virtual void waits_in(const char* what) = 0;

  // Called by the watchdog from now on, on its thread and with every heartbeat: what it throws ends the job. With an
  // empty one nothing is, nor is any call under way on return.
  virtual void set_probe(std::function<void()> probe) = 0;

  // Ends every rank's process at once, this one's with `exit_code`.
  [[noreturn]] virtual void abort(int exit_code) = 0;
};

// One rank, whatever this process was launched by.
std::unique_ptr<World> make_single_world();

// Whether a launcher (mpirun, srun, ...) started this process as one of several ranks: distributed/launcher.h.
bool launched_with_ranks();

// The job that this process was launched into; one rank, and no MPI, where there was no launcher. Once per process.
// Throws UserError where the launcher started several ranks and this build has no MPI, or not the launcher's.
std::unique_ptr<World> join_world();

}  // namespace gptmoe
