#pragma once
#include <algorithm>
#include <cstdint>

namespace gptmoe {

// Reductions take place in pieces of at most so much of a tensor, of which so many at most wait for their sum. Where
// what all ranks hold of a tensor is no more than kMpiSmallBytes, it is exchanged whole.
constexpr int64_t kMpiPieceBytes = int64_t{16} << 20;
constexpr int64_t kMpiPiecesUnderWay = 2;
constexpr int64_t kMpiSmallBytes = int64_t{32} << 10;

// Memory that a communicator over host tensors takes for its reductions, where `largest_bytes` are those of the largest
// tensor reduced.
constexpr int64_t mpi_staging_bytes(int64_t largest_bytes) {
  return kMpiPiecesUnderWay * std::max(std::min(largest_bytes, kMpiPieceBytes), kMpiSmallBytes);
}

}  // namespace gptmoe
