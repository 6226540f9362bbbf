#pragma once
// Data parallelism over the buckets of a ParamTable. A bucket's gradients are reduced while the backward pass computes
// the gradients of earlier layers. With a sharded optimizer (ZeRO stages 1 and 2, Rajbhandari et al. 2020), a bucket's
// weights are gathered from the ranks that updated them; that happens while the forward pass computes earlier layers.
//
// If gradients are sharded too (ZeRO stage 2), a rank keeps only its part of the gradients. While the backward pass
// computes a bucket's gradients, they are held whole in one of a few windows. In each micro-batch, their sums over
// ranks are added to the parts that the ranks keep. Neighbouring layers have different windows, so one layer's
// gradients can be reduced while the next layer's are computed.
#include <array>
#include <deque>
#include <optional>
#include <vector>

#include "memory/param_table.h"
#include "memory/pass.h"

namespace gptmoe {

struct DataParallelOptions {
  bool shard_optimizer = false;
  bool shard_gradients = false;       // requires shard_optimizer
  bool head_in_first_bucket = false;  // with a tied head: the backward pass writes to the first bucket from its start
  bool reduce_in_bf16 = false;        // gradients are sent and summed in bf16, except those of stat rows
};

class DataParallel {
 public:
  explicit DataParallel(const DataParallelOptions& options) : options_(options) {}

  bool shards_optimizer() const { return options_.shard_optimizer; }
  bool shards_gradients() const { return options_.shard_gradients; }

  // Allocates the windows of sharded gradients, for ParamTable::bind(); none otherwise. May run again after commit().
  std::vector<Tensor> allocate_windows(Arena& arena, const ParamTable& params, DType stat) const;

  // Allocates the buffers that gradients are sent from; none if gradients are sent in their own dtype. May run again
  // after commit().
  void allocate(Arena& arena, const ParamTable& params);

  // With windows: makes the windows ready that the backward pass writes to first. Call it before the backward pass.
  void begin_backward(const Pass& pass, const ParamTable& params);
  // Starts to sum one bucket's gradients over all ranks. The gradients must be complete on this rank. With a sharded
  // optimizer, only this rank's part of the sums will be valid. With windows, also makes the previous bucket's window
  // ready.
  void reduce(const Pass& pass, const ParamTable& params, int bucket);
  // If `whole`, every rank gets all of the sums from now on, for callers that inspect them. No effect on sharded
  // gradients.
  void reduce_whole(bool whole) { whole_ = whole; }
  // Makes all later work see the sums of every bucket, in ParamTable::grads().
  void finish_reductions(const Pass& pass, const ParamTable& params);

  // Starts to gather the weights of every bucket, in order, from the ranks that updated them. Does nothing for an
  // optimizer that is not sharded.
  void gather(const Pass& pass, const ParamTable& params);
  // Makes all later work see this bucket's weights, if they are being gathered. Call it for each bucket in order.
  void await(const Pass& pass, const ParamTable& params, int bucket);
  void await_all(const Pass& pass, const ParamTable& params);

 private:
  // Gradients that are being reduced in bf16, in the buffer `wire`.
  struct Journey {
    Communicator::Ticket ticket;
    Tensor grads, wire;  // both hold only the elements whose sums this rank gets
  };
  Communicator::Ticket reduce_segment(const Pass& pass, const Tensor& grads, bool to_parts);
  void reduce_by_wire(const Pass& pass, const Tensor& grads, bool to_parts);
  void arrive(const Pass& pass);
  int window_of(const ParamTable& params, int bucket) const;
  void open_window(const Pass& pass, const ParamTable& params, int bucket);
  void settle(const Pass& pass, const ParamTable& params, int window);
  void gather_next(const Pass& pass, const ParamTable& params);

  DataParallelOptions options_;
  bool whole_ = false;
  std::vector<Tensor> wires_;
  size_t next_wire_ = 0;
  std::deque<Journey> journeys_;
  // For each window: the bucket that is being reduced in it, if there is one, and that bucket's last reduction.
  struct Occupant {
    int bucket;
    Communicator::Ticket last;
  };
  static constexpr int kWindows = 3;
  std::array<std::optional<Occupant>, kWindows> occupants_;
  Communicator::Ticket last_reduction_ = 0;
  bool reducing_ = false;
  std::vector<Communicator::Ticket> gathers_;  // of the buckets started so far; empty if no gather is pending
};

}  // namespace gptmoe
