#include "checkpoint/checkpoint_rows.h"

#include <algorithm>

#include "kernels/block_code.h"

namespace gptmoe {
namespace {

constexpr int64_t kMessageBytes = kHostPartBytes;  // sender and receiver split a row into the same messages

// A stretch of a row and the rank that provides it.
struct Holding {
  int rank;
  Partition::Piece piece;
};

// The stretches of a row, in order. Each rank provides the elements of its partition; rank 0 provides those that all
// ranks hold.
std::vector<Holding> holdings_of(const CheckpointTensors& tensors, const ParamRow& row) {
  const int ranks = tensors.world ? tensors.world->size() : 1;
  std::vector<Holding> holdings;
  const auto add = [&](int rank, const Partition& partition) {
    for (const Partition::Piece& piece : partition.within(row.offset, row.count))
      if (rank == 0 || !piece.replicated) holdings.push_back({rank, piece});
  };
  if (tensors.held.replicated())
    add(0, tensors.held);
  else
    for (int rank = 0; rank < ranks; ++rank) add(rank, tensors.params.partition_of(rank));
  std::sort(holdings.begin(), holdings.end(),
            [](const Holding& a, const Holding& b) { return a.piece.offset < b.piece.offset; });
  return holdings;
}

void send(World& world, Memory& memory, const Tensor& elements) {
  for_each_host_part(memory, elements, [&](const void* data, int64_t bytes) {
    for (int64_t at = 0; at < bytes; at += kMessageBytes)
      world.send_to_root(static_cast<const char*>(data) + at, std::min(kMessageBytes, bytes - at));
  });
}

void receive(World& world, int from, int64_t bytes, const TensorSource::Take& take) {
  std::vector<char> message(static_cast<size_t>(std::min(kMessageBytes, bytes)));
  for (int64_t at = 0; at < bytes; at += kMessageBytes) {
    const int64_t count = std::min(kMessageBytes, bytes - at);
    world.receive_at_root(message.data(), count, from);
    take(message.data(), count);
  }
}

// Numbers of the table's elements, in the memory of the ranks.
struct Stored {
  Tensor numbers;     // of this rank's elements
  Partition held;     // these elements: whole parts of pieces of CheckpointTensors::held
  int64_t block = 1;  // neighbouring elements of a row that share a number

  int64_t count(int64_t elements) const { return (elements + block - 1) / block; }
  // The numbers of a part of `held`.
  Tensor at(const Partition::Piece& piece) const { return numbers.rows(piece.at / block, count(piece.count)); }
  // The shape of a row's numbers.
  std::vector<int64_t> sizes(const ParamRow& row) const {
    return block == 1 ? row.sizes : std::vector<int64_t>{count(row.count)};
  }
};

// A part of the optimizer's state that has a number for each element, or for each block.
struct Moment {
  std::string prefix;
  Stored stored;
  Partition all;  // the elements that any rank holds; they form whole rows

  bool has(const ParamRow& row) const { return !all.within(row.offset, row.count).empty(); }
};

std::vector<Moment> moments_of(const CheckpointTensors& tensors) {
  std::vector<Moment> moments;
  const auto add_part = [&](const std::string& prefix, const Stored& stored, const Partition& all) {
    Moment& moment = moments.emplace_back();
    moment.prefix = prefix;
    moment.stored = stored;
    moment.all = all;
  };
  const auto add = [&](const std::string& name, const Tensor& numbers, const Partition& all,
                       const CodedElements& coded) {
    const Partition rest = all.without(coded.all);
    add_part(name + ".", {numbers, tensors.held.common_with(rest)}, rest);
    if (coded.all.count() == 0) return;
    add_part(name + ".", {coded.codes, coded.held}, coded.all);
    add_part(name + "_scales.", {coded.scales, coded.held, kBlockElements}, coded.all);
  };
  add("m", tensors.m, tensors.params.whole(), tensors.coded_m);
  add("v", tensors.v, tensors.second_moments, tensors.coded_v);
  return moments;
}

// A row whose numbers are in the memory of the ranks.
TensorSource gathered_row(const CheckpointTensors& tensors, const std::string& name, const ParamRow& row,
                          const Stored& stored) {
  const DType dtype = stored.numbers.dtype();
  return {name, dtype, stored.sizes(row), [tensors, stored, dtype, &row](const TensorSource::Take& take) {
            const int own_rank = tensors.world ? tensors.world->rank() : 0;
            for (const auto& [rank, piece] : holdings_of(tensors, row)) {
              const int64_t bytes = stored.count(piece.count) * dtype_bytes(dtype);
              const auto own = [&, &piece = piece] {
                return stored.at(stored.held.within(piece.offset, piece.count).front());
              };
              if (rank == own_rank && own_rank == 0)
                for_each_host_part(tensors.memory, own(), take);
              else if (rank == own_rank)
                send(*tensors.world, tensors.memory, own());
              else if (own_rank == 0)
                receive(*tensors.world, rank, bytes, take);
              if (tensors.world) tensors.world->tick();
            }
          }};
}

// The parts of a row that this rank holds.
RowToLoad held_row(const std::string& name, const ParamRow& row, const Stored& stored) {
  RowToLoad to{name, stored.sizes(row), {}};
  for (const Partition::Piece& piece : stored.held.within(row.offset, row.count))
    to.parts.push_back({stored.at(piece), (piece.offset - row.offset) / stored.block});
  return to;
}

RowPart whole(const Tensor& tensor) { return {tensor.view({tensor.count()}), 0}; }

void add_state(std::vector<TensorSource>& sources, const CheckpointTensors& tensors) {
  for (const StateRow& row : tensors.state.rows())
    if (row.persistent) sources.push_back(source_of({row.name, row.value}, tensors.memory));
}

void add_state(std::vector<RowToLoad>& rows, const CheckpointTensors& tensors) {
  for (const StateRow& row : tensors.state.rows())
    if (row.persistent) rows.push_back({row.name, row.sizes, {whole(row.value)}});
}

}  // namespace

std::vector<TensorSource> model_sources(const CheckpointTensors& tensors) {
  const ParamTable& params = tensors.params;
  std::vector<TensorSource> sources;
  for (const ParamRow& row : params.rows()) {
    if (params.master().present())
      sources.push_back(gathered_row(tensors, row.name, row, {params.master(), tensors.held}));
    else
      sources.push_back(source_of({row.name, params.row_value(row)}, tensors.memory));
  }
  add_state(sources, tensors);
  return sources;
}

std::vector<TensorSource> average_sources(const CheckpointTensors& tensors) {
  std::vector<TensorSource> sources;
  for (const ParamRow& row : tensors.params.rows())
    sources.push_back(gathered_row(tensors, row.name, row, {tensors.average, tensors.held}));
  add_state(sources, tensors);
  return sources;
}

std::vector<TensorSource> optimizer_sources(const CheckpointTensors& tensors) {
  std::vector<TensorSource> sources;
  for (const Moment& moment : moments_of(tensors))
    for (const ParamRow& row : tensors.params.rows())
      if (moment.has(row)) sources.push_back(gathered_row(tensors, moment.prefix + row.name, row, moment.stored));
  return sources;
}

std::vector<RowToLoad> model_rows(const CheckpointTensors& tensors) {
  std::vector<RowToLoad> rows;
  for (const ParamRow& row : tensors.params.rows())
    rows.push_back({row.name, row.sizes, tensors.params.row_parts(row)});
  add_state(rows, tensors);
  return rows;
}

std::vector<RowToLoad> average_rows(const CheckpointTensors& tensors) {
  std::vector<RowToLoad> rows;
  for (const ParamRow& row : tensors.params.rows())
    rows.push_back(held_row(row.name, row, {tensors.average, tensors.held}));
  add_state(rows, tensors);
  return rows;
}

std::vector<RowToLoad> optimizer_rows(const CheckpointTensors& tensors) {
  std::vector<RowToLoad> rows;
  for (const Moment& moment : moments_of(tensors))
    for (const ParamRow& row : tensors.params.rows())
      if (moment.has(row)) rows.push_back(held_row(moment.prefix + row.name, row, moment.stored));
  return rows;
}

}  // namespace gptmoe
