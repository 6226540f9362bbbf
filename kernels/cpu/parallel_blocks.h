#pragma once
#include "kernels/cpu/parallel.h"

namespace gptmoe {

struct Block {
  int64_t first, count;
};

// Cuts a (rows, columns) matrix product along its longer side into one block per thread, so that as little as possible
// of the operands is read twice, and calls body(Block rows, Block columns) for each block.
template <typename Body>
void parallel_blocks(int threads, int64_t rows, int64_t columns, Body&& body) {
  constexpr int64_t kGrain = 16;
  const bool by_rows = rows >= columns;
  parallel_ranges(threads, by_rows ? rows : columns, kGrain, [&](int64_t begin, int64_t end, int) {
    const Block range{begin, end - begin};
    by_rows ? body(range, Block{0, columns}) : body(Block{0, rows}, range);
  });
}

}  // namespace gptmoe
