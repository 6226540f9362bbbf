#pragma once
// Collectives on tensors, in the memory of the run's Ops. One rank is a trivial case, so callers never branch on the
// number of ranks. All other communication of these ranks goes through World (distributed/world.h).
//
// A collective starts when all earlier work of the Ops is done, and runs while later work is queued. Nothing may touch
// its tensor until wait(); all work after wait() sees the result. Collectives run in the order in which they are
// started. Every rank must start the same collectives, in the same order, with tensors of the same size and dtype.
// Deterministic: the same bits on every rank, and in every run on the same number of ranks.
#include <array>
#include <cstdint>
#include <memory>

#include "base/tensor.h"

namespace gptmoe {

// The purpose of a collective. Costs are reported by purpose.
enum class Traffic { gradients, weights, balance, default_vectors, reports };
constexpr std::array<const char*, 5> kTrafficNames = {"gradients", "weights", "balance", "default_vectors", "reports"};

// The cost of one kind of traffic on this rank since the communicator was made.
struct TrafficCost {
  int64_t calls = 0;
  int64_t bytes = 0;   // the bytes that this rank sends if collectives run as rings
  double seconds = 0;  // time spent in the calls, if the host runs the collectives
};
using TrafficCosts = std::array<TrafficCost, kTrafficNames.size()>;

class Communicator {
 public:
  // Identifies a collective in progress.
  using Ticket = int64_t;

  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // x becomes its sum over ranks. f32, f64 or bf16.
  virtual Ticket start_all_reduce(const Tensor& x, Traffic traffic) = 0;
  // x is cut into size() equal parts (its count is a multiple of size()). Part rank() becomes its sum over ranks; the
  // rest of x is undefined. f32, f64 or bf16.
  virtual Ticket start_reduce_scatter(const Tensor& x, Traffic traffic) = 0;
  // x is cut into size() equal parts too. Afterwards every rank has, as part r, the part r that rank r had before. Any
  // dtype.
  virtual Ticket start_all_gather(const Tensor& x, Traffic traffic) = 0;
  // x becomes the x of rank `root`. Any dtype.
  virtual Ticket start_broadcast(const Tensor& x, int root, Traffic traffic) = 0;
  // All later work waits for this collective, and so for all earlier ones. "Work" means calls of Ops,
  // or what the host does if the tensors are in its memory.
  virtual void wait(Ticket ticket) = 0;

  void all_reduce(const Tensor& x, Traffic traffic) { wait(start_all_reduce(x, traffic)); }

  // Throws DeviceError if a collective in progress is known to have failed. Does not wait for any collective. The
  // watchdog's thread may call it at any time.
  virtual void check() {}

  virtual TrafficCosts costs() const = 0;
};

// Bytes that each of `size` ranks sends in a ring collective on a tensor of `bytes`.
inline int64_t reduce_scatter_bytes(int64_t bytes, int size) { return bytes / size * (size - 1); }
inline int64_t all_gather_bytes(int64_t bytes, int size) { return bytes / size * (size - 1); }
inline int64_t all_reduce_bytes(int64_t bytes, int size) { return 2 * bytes * (size - 1) / size; }

std::unique_ptr<Communicator> make_single_communicator();
// Counts the traffic of rank 0 of `size` ranks and moves nothing: for planning.
std::unique_ptr<Communicator> make_counting_communicator(int size);

}  // namespace gptmoe
