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

// In the order of the backward pass, windows 0 and 1 alternate. Window 0 has the head, which is the last bucket, and
// the embedding, which is the first and about as large. A tied head's gradients are in the embedding's bucket, so that
// bucket is in use during the whole backward pass and has window 2 for itself.
int DataParallel::window_of(const ParamTable& params, int bucket) const {
  if (bucket == 0) return options_.head_in_first_bucket ? 2 : 0;
  return (static_cast<int>(params.buckets().size()) - 1 - bucket) % 2;
}

std::vector<Tensor> DataParallel::allocate_windows(Arena& arena, const ParamTable& params, DType stat) const {
  if (!options_.shard_gradients) return {};
  std::array<int64_t, kWindows> counts{};
  const int buckets = static_cast<int>(params.buckets().size());
  for (int bucket = 0; bucket < buckets; ++bucket) {
    int64_t& count = counts[static_cast<size_t>(window_of(params, bucket))];
    count = std::max(count, params.bucket_count(bucket));
  }
  std::array<Tensor, kWindows> windows;
  for (size_t w = 0; w < windows.size(); ++w) windows[w] = arena.allocate(stat, {counts[w]});
  std::vector<Tensor> by_bucket;
  for (int bucket = 0; bucket < buckets; ++bucket)
    by_bucket.push_back(windows[static_cast<size_t>(window_of(params, bucket))].rows(0, params.bucket_count(bucket)));
  return by_bucket;
}

void DataParallel::begin_backward(const Pass& pass, const ParamTable& params) {
  if (!options_.shard_gradients) return;
  open_window(pass, params, static_cast<int>(params.buckets().size()) - 1);
  if (options_.head_in_first_bucket) open_window(pass, params, 0);
}

void DataParallel::open_window(const Pass& pass, const ParamTable& params, int bucket) {
  settle(pass, params, window_of(params, bucket));
  for (const ParamTable::Segment& segment : params.buckets().at(static_cast<size_t>(bucket)))
    pass.ops.zero(params.segment_grads(bucket, segment));
}

// Adds the sums in a window to those that this rank holds, and frees the window.
void DataParallel::settle(const Pass& pass, const ParamTable& params, int window) {
  std::optional<Occupant>& occupant = occupants_[static_cast<size_t>(window)];
  if (!occupant) return;
  while (!journeys_.empty() && journeys_.front().ticket <= occupant->last) arrive(pass);
  pass.communicator.wait(occupant->last);
  for (const ParamTable::Segment& segment : params.buckets().at(static_cast<size_t>(occupant->bucket))) {
    const Tensor grads = params.segment_grads(occupant->bucket, segment);
    for (const Partition::Piece& piece : params.held_in(segment)) {
      const Tensor sums = params.held_grads(piece);
      pass.ops.residual_forward(sums, sums, grads.rows(piece.offset - segment.offset, piece.count));
    }
  }
  occupant.reset();
}

void DataParallel::reduce(const Pass& pass, const ParamTable& params, int bucket) {
  for (const ParamTable::Segment& segment : params.buckets().at(static_cast<size_t>(bucket))) {
    const Tensor grads = params.segment_grads(bucket, segment);
    const bool to_parts = options_.shard_optimizer && !segment.stat && (!whole_ || options_.shard_gradients);
    if (wires_.empty() || segment.stat)
      last_reduction_ = reduce_segment(pass, grads, to_parts);
    else
      reduce_by_wire(pass, grads, to_parts);
    reducing_ = true;
  }
  if (!options_.shard_gradients) return;
  occupants_[static_cast<size_t>(window_of(params, bucket))] = {bucket, last_reduction_};
  const int next = bucket - 1;
  if (next > 0 || (next == 0 && !options_.head_in_first_bucket)) open_window(pass, params, next);
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

void DataParallel::finish_reductions(const Pass& pass, const ParamTable& params) {
  for (int window = 0; window < kWindows; ++window) settle(pass, params, window);
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
