#pragma once
// Collectives on tensors, where the run's Ops have theirs. One rank is the degenerate case, so callers never branch on
// the number of ranks; World (distributed/world.h) is how the same ranks talk of everything else.
//
// A collective begins when the work asked of the Ops so far is done, and goes on while more of it is asked for: nothing
// may touch its tensor until wait(), after which all later work sees the result. Collectives are done in the order they
// are asked for. Every rank asks for the same ones, in the same order, with tensors of the same size and dtype.
// Deterministic: the same bits on every rank, and in every run on as many.
#include <array>
#include <cstdint>
#include <memory>

#include "base/tensor.h"

namespace gptmoe {

// What a collective is for: its cost is reported under that name.
enum class Traffic { gradients, weights, balance, default_vectors, reports };
constexpr std::array<const char*, 5> kTrafficNames = {"gradients", "weights", "balance", "default_vectors", "reports"};

// What one kind of traffic has cost this rank since the communicator was made.
struct TrafficCost {
  int64_t calls = 0;
  int64_t bytes = 0;   // that this rank sends, as rings do it
  double seconds = 0;  // that its host spent in calls, if the collectives run there
};
using TrafficCosts = std::array<TrafficCost, kTrafficNames.size()>;

class Communicator {
 public:
  // Names a collective under way.
  using Ticket = int64_t;

  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // x = sum of x over ranks. f32, f64 or bf16.
  virtual Ticket start_all_reduce(const Tensor& x, Traffic traffic) = 0;
  // Of x, cut into size() equal parts (its count is a multiple): part rank() = its sum over ranks. The rest of x is
  // spoilt. f32, f64 or bf16.
  virtual Ticket start_reduce_scatter(const Tensor& x, Traffic traffic) = 0;
  // Of x, cut likewise: every rank's part = what that rank holds there. Any dtype.
  virtual Ticket start_all_gather(const Tensor& x, Traffic traffic) = 0;
  // x = what `root` holds. Any dtype.
  virtual Ticket start_broadcast(const Tensor& x, int root, Traffic traffic) = 0;
  // Has everything that is asked for from now on, of the Ops or of the host where tensors live there, wait for this
  // collective, and so for all before it.
  virtual void wait(Ticket ticket) = 0;

  void all_reduce(const Tensor& x, Traffic traffic) { wait(start_all_reduce(x, traffic)); }

  // Throws DeviceError that says what has become of the collectives under way, where that can be told before they are
  // waited for. For a thread that watches; may be called at any time.
  virtual void check() {}

  virtual TrafficCosts costs() const = 0;
};

// Bytes that a rank sends in a ring of `size` ranks for a tensor of `bytes`.
inline int64_t reduce_scatter_bytes(int64_t bytes, int size) { return bytes / size * (size - 1); }
inline int64_t all_gather_bytes(int64_t bytes, int size) { return bytes / size * (size - 1); }
inline int64_t all_reduce_bytes(int64_t bytes, int size) { return 2 * bytes * (size - 1) / size; }

std::unique_ptr<Communicator> make_single_communicator();
// Of a rank that moves nothing and counts, as rank 0 of `size`: for planning.
std::unique_ptr<Communicator> make_counting_communicator(int size);

}  // namespace gptmoe
