#pragma once
// Data parallelism over the buckets of a ParamTable. A bucket's gradients are reduced while the backward pass computes
// the gradients of earlier layers. With a sharded optimizer (ZeRO stage 1, Rajbhandari et al. 2020), a bucket's weights
// are gathered from the ranks that updated them; that happens while the forward pass computes earlier layers.
#include <deque>
#include <vector>

#include "memory/param_table.h"
#include "memory/pass.h"

namespace gptmoe {

struct DataParallelOptions {
  bool shard_optimizer = false;
  bool reduce_in_bf16 = false;  // gradients are sent and summed in bf16, except those of stat rows
};

class DataParallel {
 public:
  explicit DataParallel(const DataParallelOptions& options) : options_(options) {}

  bool shards_optimizer() const { return options_.shard_optimizer; }

  // Allocates the buffers that gradients are sent from; none if gradients are sent in their own dtype. May run again
  // after commit().
  void allocate(Arena& arena, const ParamTable& params);

  // Starts to sum one bucket's gradients over all ranks. They must be complete on this rank. With a sharded optimizer,
  // only this rank's part of the sums will be valid.
  void reduce(const Pass& pass, const ParamTable& params, int bucket);
  // If `whole`, every rank gets all of the sums from now on, for callers that inspect them.
  void reduce_whole(bool whole) { whole_ = whole; }
  // Makes all later work see the sums of every bucket.
  void finish_reductions(const Pass& pass);

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
  void gather_next(const Pass& pass, const ParamTable& params);

  DataParallelOptions options_;
  bool whole_ = false;
  std::vector<Tensor> wires_;
  size_t next_wire_ = 0;
  std::deque<Journey> journeys_;
  Communicator::Ticket last_reduction_ = 0;
  bool reducing_ = false;
  std::vector<Communicator::Ticket> gathers_;  // of the buckets started so far; empty if no gather is pending
};

}  // namespace gptmoe
