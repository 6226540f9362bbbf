#pragma once
// The sorted rows of grouped products, cut into pieces that belong to one expert and stay in a core's cache.
#include <cstring>

#include "kernels/cpu/parallel_blocks.h"
#include "kernels/cpu/thread_buffer.h"
#include "kernels/sorted_rows.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

// The number of rows that a thread gathers at a time, or keeps between a product and its activation. Fewer rows would
// slow down the product, which packs an expert's weights again for every piece.
constexpr int64_t kPieceRows = 512;

// Cuts `rows` into nearly equal pieces of at most kPieceRows rows, and calls body(Block) for each piece.
template <typename Body>
void for_each_piece(Block rows, Body&& body) {
  const int64_t pieces = (rows.count + kPieceRows - 1) / kPieceRows;
  for (int64_t piece = 0; piece < pieces; ++piece) {
    const int64_t begin = rows.count * piece / pieces, end = rows.count * (piece + 1) / pieces;
    body(Block{rows.first + begin, end - begin});
  }
}

// Calls body(expert, Block) for every expert that has rows in `rows`; the Block is the expert's part of `rows`.
template <typename Body>
void for_each_expert(const int64_t* offsets, int64_t experts, Block rows, Body&& body) {
  for (int64_t e = 0; e < experts; ++e) {
    const int64_t begin = std::max(offsets[e], rows.first);
    const int64_t end = std::min(offsets[e + 1], rows.first + rows.count);
    if (begin < end) body(e, Block{begin, end - begin});
  }
}

// The operand x of a grouped op: sorted rows, or tokens in their own order, whose rows are gathered.
class RowSource {
 public:
  RowSource(const Tensor& x, const Tensor& slots_R, int64_t R)
      : K_(rows_per_token(x, slots_R, R)),
        I_(x.size(1)),
        x_(x.as<Real>()),
        slots_(slots_R.present() ? slots_R.as<int32_t>() : nullptr) {}

  bool gathers() const { return slots_ != nullptr; }

  struct Matrix {
    const Real* data;
    int64_t stride;
  };
  // Returns the given columns of the given rows. If rows are gathered, at most kPieceRows of them can be read at once.
  // The result is valid until the thread's next call.
  Matrix read(Block rows, Block columns) const {
    if (!gathers()) return {x_ + rows.first * I_ + columns.first, I_};
    static thread_local ThreadBuffer buffer;
    Real* const gathered = buffer.get(rows.count * columns.count);
    for (int64_t r = 0; r < rows.count; ++r)
      std::memcpy(gathered + r * columns.count, x_ + slots_[rows.first + r] / K_ * I_ + columns.first,
                  static_cast<size_t>(columns.count) * sizeof(Real));
    return {gathered, columns.count};
  }
  Matrix read(Block rows) const { return read(rows, Block{0, I_}); }

 private:
  int64_t K_, I_;
  const Real* x_;
  const int32_t* slots_;
};

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
