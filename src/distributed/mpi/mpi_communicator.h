#pragma once
// Collectives on host tensors, built on MPI's non-blocking collectives. In a reduction, each rank gets its part of the
// tensor from every rank and sums these values in rank order; an all-reduce then gathers the sums. This is faster than
// MPI's own non-blocking reductions and gives the same bits on every rank with any MPI. MPI makes progress whenever a
// collective is started or waited for.
#include <mpi.h>

#include <climits>
#include <deque>
#include <vector>

#include "distributed/communicator.h"
#include "distributed/mpi/activity.h"

namespace gptmoe {

class MpiCommunicator final : public Communicator {
 public:
  // Collective over `ranks`. `countable` is the largest count that MPI takes; tests pass a small one.
  MpiCommunicator(MPI_Comm ranks, Activity& activity, int64_t countable = INT_MAX);
  ~MpiCommunicator() override;
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  Ticket start_all_reduce(const Tensor& x, Traffic traffic) override;
  Ticket start_reduce_scatter(const Tensor& x, Traffic traffic) override;
  Ticket start_all_gather(const Tensor& x, Traffic traffic) override;
  Ticket start_broadcast(const Tensor& x, int root, Traffic traffic) override;
  void wait(Ticket ticket) override;
  TrafficCosts costs() const override { return costs_; }

 private:
  enum class First { exchange, small_gather, gather, broadcast };
  enum class Stage { queued, first, summed, gathering, done };
  // A collective, or one piece of a reduction. MPI's displacements count from `base`.
  struct Piece {
    Ticket ticket;
    Traffic traffic;
    First first;
    bool then_gather;
    char* base;
    DType dtype;
    int root;
    std::vector<int64_t> counts, at;  // by rank: the number of elements of its part, and the first one's offset
    Stage stage = Stage::queued;
    int slot = -1;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Datatype unit = MPI_DATATYPE_NULL;
    std::vector<int> unit_counts, units_at, staged_counts, staged_at, own_counts;  // MPI reads them until completion
  };
  class Timed;

  Piece& add(const Tensor& x, Traffic traffic, First first);
  void even_parts(Piece& piece, int64_t count) const;
  Ticket started(Traffic traffic, int64_t bytes);
  void progress();
  void begin(Piece& piece);
  void begin_exchange(Piece& piece);
  void begin_gather(Piece& piece, MPI_Comm over);
  void sum(Piece& piece);
  void choose_unit(Piece& piece);
  char* staging(Piece& piece, int64_t bytes);
  bool slot_free() const;

  int rank_ = 0, size_ = 1;
  MPI_Comm first_comm_, gather_comm_;  // for first stages and gathers, which each rank may interleave differently
  MPI_Datatype line_type_;             // 64 bytes, for tensors with more elements than fit in an int
  Activity& activity_;
  const int64_t countable_;
  std::deque<Piece> pieces_;  // unfinished, in the order of their start
  Ticket next_ = 0;
  struct Slot {
    std::vector<char> bytes;
    bool taken = false;
  };
  std::vector<Slot> slots_;
  TrafficCosts costs_;
};

}  // namespace gptmoe
