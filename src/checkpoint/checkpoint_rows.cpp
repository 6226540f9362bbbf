#include "checkpoint/checkpoint_rows.h"

#include <algorithm>

namespace gptmoe {
namespace {

constexpr int64_t kMessageBytes = kHostPartBytes;  // sender and receiver cut a row in the same way

// A stretch of a row and the rank that provides it.
struct Holding {
  int rank;
  Partition::Piece piece;
};

// The stretches of a row in order. Each rank provides what its partition holds; rank 0 provides what all ranks hold.
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

// A row of `storage`, which has the layout of the partition in `tensors`.
TensorSource gathered_row(const CheckpointTensors& tensors, const std::string& name, const ParamRow& row,
                          const Tensor& storage) {
  return {name, storage.dtype(), row.sizes, [tensors, storage, &row](const TensorSource::Take& take) {
            const int own_rank = tensors.world ? tensors.world->rank() : 0;
            for (const auto& [rank, piece] : holdings_of(tensors, row)) {
              const int64_t bytes = piece.count * dtype_bytes(storage.dtype());
              const auto own = [&, &piece = piece] { return storage.rows(piece.at, piece.count); };
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

// The parts of a row that `storage`, with the layout of the partition, holds on this rank.
RowToLoad held_row(const CheckpointTensors& tensors, const std::string& name, const ParamRow& row,
                   const Tensor& storage) {
  RowToLoad held{name, row.sizes, {}};
  for (const Partition::Piece& piece : tensors.held.within(row.offset, row.count))
    held.parts.push_back({storage.rows(piece.at, piece.count), piece.offset - row.offset});
  return held;
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
      sources.push_back(gathered_row(tensors, row.name, row, params.master()));
    else
      sources.push_back(source_of({row.name, params.row_value(row)}, tensors.memory));
  }
  add_state(sources, tensors);
  return sources;
}

std::vector<TensorSource> average_sources(const CheckpointTensors& tensors) {
  std::vector<TensorSource> sources;
  for (const ParamRow& row : tensors.params.rows())
    sources.push_back(gathered_row(tensors, row.name, row, tensors.average));
  add_state(sources, tensors);
  return sources;
}

std::vector<TensorSource> optimizer_sources(const CheckpointTensors& tensors) {
  std::vector<TensorSource> sources;
  for (const auto& [prefix, storage] : {std::pair("m.", tensors.m), std::pair("v.", tensors.v)})
    for (const ParamRow& row : tensors.params.rows())
      sources.push_back(gathered_row(tensors, prefix + row.name, row, storage));
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
  for (const ParamRow& row : tensors.params.rows()) rows.push_back(held_row(tensors, row.name, row, tensors.average));
  add_state(rows, tensors);
  return rows;
}

std::vector<RowToLoad> optimizer_rows(const CheckpointTensors& tensors) {
  std::vector<RowToLoad> rows;
  for (const auto& [prefix, storage] : {std::pair("m.", tensors.m), std::pair("v.", tensors.v)})
    for (const ParamRow& row : tensors.params.rows())
      rows.push_back(held_row(tensors, prefix + row.name, row, storage));
  return rows;
}

}  // namespace gptmoe
