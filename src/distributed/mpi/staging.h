#pragma once
#include <algorithm>
#include <cstdint>

namespace gptmoe {

// Reductions run in pieces of at most kMpiPieceBytes, and at most kMpiPiecesUnderWay pieces wait for their sum. If all
// ranks' copies of a tensor together have at most kMpiSmallBytes, they are exchanged whole.
constexpr int64_t kMpiPieceBytes = int64_t{16} << 20;
constexpr int64_t kMpiPiecesUnderWay = 2;
constexpr int64_t kMpiSmallBytes = int64_t{32} << 10;

// Memory that a communicator over host tensors needs for its reductions. `largest_bytes`: bytes that a rank receives
// from the others in the reduction of the largest tensor.
constexpr int64_t mpi_staging_bytes(int64_t largest_bytes) {
  return kMpiPiecesUnderWay * std::max(std::min(largest_bytes, kMpiPieceBytes), kMpiSmallBytes);
}

}  // namespace gptmoe
