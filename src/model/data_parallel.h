#pragma once
// Data parallelism over the buckets of a ParamTable: a bucket's gradients are reduced while the backward pass computes
// those of the layers before it, and with a sharded optimizer (ZeRO stage 1, Rajbhandari et al. 2020) the weights that
// other ranks have updated are gathered while the forward pass computes with those of the layers before.
#include <deque>
#include <vector>

#include "memory/param_table.h"
#include "memory/pass.h"

namespace gptmoe {

struct DataParallelOptions {
  bool shard_optimizer = false;
  bool reduce_in_bf16 = false;  // gradients travel, and are summed, in bf16; those of stat rows do not
};

class DataParallel {
 public:
  explicit DataParallel(const DataParallelOptions& options) : options_(options) {}

  bool shards_optimizer() const { return options_.shard_optimizer; }

  // What gradients travel in; nothing if they travel as they are. May run again after commit().
  void allocate(Arena& arena, const ParamTable& params);

  // Gradients of one bucket are complete on this rank: begins to sum them over ranks. Of a sharded optimizer, only this
  // rank's part will be whole.
  void reduce(const Pass& pass, const ParamTable& params, int bucket);
  // Until told otherwise, every rank is to have all sums whole, for whoever wants to look at them.
  void reduce_whole(bool whole) { whole_ = whole; }
  // Has all later work see the sums of every bucket.
  void finish_reductions(const Pass& pass);

  // Begins to gather the weights of every bucket, in order, from the ranks that have updated them. Nothing to do for an
  // optimizer that is not sharded.
  void gather(const Pass& pass, const ParamTable& params);
  // Has all later work see this bucket's weights, if they are being gathered. Each bucket in turn.
  void await(const Pass& pass, const ParamTable& params, int bucket);
  void await_all(const Pass& pass, const ParamTable& params);

 private:
  // Gradients on their way in another dtype.
  struct Journey {
    Communicator::Ticket ticket;
    Tensor grads, wire;  // of the elements that come back
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
  std::vector<Communicator::Ticket> gathers_;  // of the buckets begun so far; empty once nothing is being gathered
};

}  // namespace gptmoe
