#include "model/data_parallel.h"

#include <algorithm>

namespace gptmoe {
namespace {

// Buffers for gradients in bf16: one is filled while the other is being reduced.
constexpr size_t kWires = 2;

// The number of buckets whose weights are gathered ahead of use: enough to hide the communication, but few, since the
// collectives within layers queue behind these gathers.
constexpr int kGathersAhead = 2;

Tensor own_part(const Pass& pass, const Tensor& x) {
  const int64_t count = x.count() / pass.communicator.size();
  return x.rows(pass.communicator.rank() * count, count);
}

}  // namespace

void DataParallel::allocate(Arena& arena, const ParamTable& params) {
  wires_.clear();
  if (!options_.reduce_in_bf16) return;
  int64_t largest = 0;
  for (const auto& bucket : params.buckets())
    for (const ParamTable::Segment& segment : bucket)
      if (!segment.stat) largest = std::max(largest, segment.count);
  for (size_t i = 0; i < kWires; ++i) wires_.push_back(arena.allocate(DType::bf16, {largest}));
}

void DataParallel::reduce(const Pass& pass, const ParamTable& params, int bucket) {
  for (const ParamTable::Segment& segment : params.buckets().at(static_cast<size_t>(bucket))) {
    const Tensor grads = params.grads().rows(segment.offset, segment.count);
    const bool to_parts = options_.shard_optimizer && !segment.stat && !whole_;
    if (wires_.empty() || segment.stat)
      last_reduction_ = reduce_segment(pass, grads, to_parts);
    else
      reduce_by_wire(pass, grads, to_parts);
    reducing_ = true;
  }
}

Communicator::Ticket DataParallel::reduce_segment(const Pass& pass, const Tensor& grads, bool to_parts) {
  return to_parts ? pass.communicator.start_reduce_scatter(grads, Traffic::gradients)
                  : pass.communicator.start_all_reduce(grads, Traffic::gradients);
}

void DataParallel::reduce_by_wire(const Pass& pass, const Tensor& grads, bool to_parts) {
  if (journeys_.size() == wires_.size()) arrive(pass);
  const Tensor wire = wires_[next_wire_].rows(0, grads.count());
  next_wire_ = (next_wire_ + 1) % wires_.size();
  pass.ops.cast(wire, grads);
  last_reduction_ = reduce_segment(pass, wire, to_parts);
  journeys_.push_back(
      {last_reduction_, to_parts ? own_part(pass, grads) : grads, to_parts ? own_part(pass, wire) : wire});
}

void DataParallel::arrive(const Pass& pass) {
  const Journey& first = journeys_.front();
  pass.communicator.wait(first.ticket);
  pass.ops.cast(first.grads, first.wire);
  journeys_.pop_front();
}

void DataParallel::finish_reductions(const Pass& pass) {
  while (!journeys_.empty()) arrive(pass);
  if (reducing_) pass.communicator.wait(last_reduction_);
  reducing_ = false;
}

void DataParallel::gather(const Pass& pass, const ParamTable& params) {
  gathers_.clear();
  if (!options_.shard_optimizer) return;
  for (int bucket = 0; bucket < kGathersAhead; ++bucket) gather_next(pass, params);
}

void DataParallel::gather_next(const Pass& pass, const ParamTable& params) {
  if (gathers_.size() == params.buckets().size()) return;
  Communicator::Ticket last = 0;
  for (const ParamTable::Segment& segment : params.buckets()[gathers_.size()])
    if (!segment.stat)
      last = pass.communicator.start_all_gather(params.values().rows(segment.offset, segment.count), Traffic::weights);
  gathers_.push_back(last);
}

void DataParallel::await(const Pass& pass, const ParamTable& params, int bucket) {
  if (gathers_.empty()) return;
  gather_next(pass, params);
  pass.communicator.wait(gathers_.at(static_cast<size_t>(bucket)));
  if (bucket + 1 == std::ssize(params.buckets())) gathers_.clear();
}

void DataParallel::await_all(const Pass& pass, const ParamTable& params) {
  for (int bucket = 0; bucket < std::ssize(params.buckets()); ++bucket) await(pass, params, bucket);
}

}  // namespace gptmoe
