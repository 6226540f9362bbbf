#pragma once
// One 128 x 128 tile of a bf16 matrix product by a block of 4 warps on mma.sync, accumulated in f32.
//
// Each warp computes 64 x 64 of the tile. For 16 steps of depth it reads 4 KiB of shared memory for 32 mma instructions
// (16 x 8 x 16), which is 128 bytes per instruction; the copies that fill shared memory add 64 bytes. At 128 bytes per
// cycle, shared memory needs 1.5 cycles per instruction. The tensor cores take 2 cycles per instruction with compute
// capability 8.0 and, as reported for mma.sync, 1.6 with 9.0, so the tensor cores are the limit. With eight warps of 64
// x 32, shared memory would need 2 cycles. A block has 4 stages, which are buffers for 32 steps of depth each, 64 KiB
// in all. With up to 255 registers per thread, two blocks fit on a multiprocessor: one multiplies while the other
// stores its tile.
#include "kernels/cuda/gemm_operand.cuh"
#include "kernels/cuda/instructions.cuh"
#include "kernels/cuda/warps.cuh"

namespace gptmoe::cuda {

struct TensorTile {
  static constexpr int kRows = 128, kColumns = 128, kDepth = 32, kStages = 4;
  static constexpr int kWarpRows = 64, kWarpColumns = 64, kWarpsAcross = kColumns / kWarpColumns;
  static constexpr int kThreads = kRows / kWarpRows * kWarpsAcross * kWarp;
  static constexpr int kBlocksPerMultiprocessor = 2;

  static constexpr int kStageElements = (kRows + kColumns) * kDepth;
  static constexpr size_t kSharedBytes = sizeof(bf16) * kStageElements * kStages;

  // Passes the product of `a` and `b` over `depth` steps to `epilogue` (see gemm_operand.cuh), eight columns at a time.
  // Widths, strides and addresses of the operands are multiples of 8 elements. All threads of the block call it.
  template <typename A, typename B, typename Epilogue>
  __device__ static void multiply(const A& a, const B& b, int64_t depth, const Epilogue& epilogue);

 private:
  static constexpr int kChunk = 8;  // elements in 16 bytes, the unit of cp.async and ldmatrix
  static constexpr int kSlice = 16, kSlices = kDepth / kSlice;  // depth of one mma
  static constexpr int kMmaRows = kWarpRows / 16, kMmaColumns = kWarpColumns / 8;
  static_assert(kSlices % 2 == 0 && kMmaColumns % 2 == 0);

  // An operand's part of a stage: kExtent rows of A's tile, or columns of B's, by kDepth. It is laid out as in memory,
  // except that the chunks of every 128 bytes are permuted, so that the eight rows that ldmatrix reads at once are in
  // different banks.
  template <Along kAlong, int kExtent>
  struct Layout {
    static constexpr int kLines = kAlong == Along::depth ? kExtent : kDepth;
    static constexpr int kChunks = (kAlong == Along::depth ? kDepth : kExtent) / kChunk;  // in a line
    static constexpr int kPeriod = kChunks > 8 ? kChunks : 8;
    __device__ static int place(int line, int chunk) {
      const int at = line * kChunks + chunk;
      return at ^ (at / kPeriod % 8);
    }
  };

  template <typename Source, int kExtent>
  class Copier;
  template <typename Source, int kExtent, bool kLeft>
  class Reader;
};

// Copies the stages of one operand in order; each thread always copies the same chunks.
template <typename Source, int kExtent>
class TensorTile::Copier {
  static constexpr bool kAlongDepth = Source::kAlong == Along::depth;
  using Shared = Layout<Source::kAlong, kExtent>;
  static constexpr bool kLooksUp = !kAlongDepth && LooksUp<decltype(Source::rows)>;
  static constexpr int kLinesAtOnce = kThreads / Shared::kChunks, kCopies = Shared::kLines / kLinesAtOnce;
  static constexpr int kPlacesAtOnce = kLinesAtOnce * Shared::kChunks;
  static_assert(kPlacesAtOnce / Shared::kPeriod % 8 == 0, "all copies of a thread are permuted alike");

 public:
  __device__ explicit Copier(const Source& from) : from_(from) {
    const int chunk = static_cast<int>(threadIdx.x) % Shared::kChunks;
    line_ = static_cast<int>(threadIdx.x) / Shared::kChunks;
    place_ = Shared::place(line_, chunk);
    const int64_t column = from.first + chunk * kChunk;
    left_ = static_cast<int>(from.end - column);
    if constexpr (kAlongDepth) {
      GPTMOE_UNROLL
      for (int i = 0; i < kCopies; ++i) {
        const int64_t row = from.rows.row(line_ + i * kLinesAtOnce);
        lines_[i] = from.data + row * from.stride + column;
        there_ |= (row >= 0) << i;
      }
    } else {
      lines_[0] = from.data + column;
      if constexpr (kLooksUp) found_ = from.rows.look_up(lane_index());
    }
  }

  // Copies the stage that begins at `depth`. Addresses outside the operand are passed to cp.async, but not read.
  __device__ void copy(bf16* to, int depth) {
    int64_t rows[kCopies];
    if constexpr (!kAlongDepth) rows_of(rows, depth);
    GPTMOE_UNROLL
    for (int i = 0; i < kCopies; ++i) {
      bf16* const place = to + (place_ + i * kPlacesAtOnce) * kChunk;
      if constexpr (kAlongDepth)
        cp_async_16(place, lines_[i] + depth, (there_ >> i & 1) != 0 && depth < left_);
      else
        cp_async_16(place, lines_[0] + rows[i] * from_.stride, rows[i] >= 0 && left_ > 0);
    }
  }

 private:
  // Finds the source rows for the stage that begins at `depth`. Each lane looks up one row, a stage before it is used.
  __device__ void rows_of(int64_t (&rows)[kCopies], int depth) {
    int own = 0;
    if constexpr (kLooksUp) {
      static_assert(kDepth == kWarp);
      own = from_.rows.row_found(found_);
      found_ = from_.rows.look_up(depth + kDepth + lane_index());
    }
    GPTMOE_UNROLL
    for (int i = 0; i < kCopies; ++i) {
      const int line = line_ + i * kLinesAtOnce;
      rows[i] = kLooksUp ? __shfl_sync(kAllLanes, own, line) : from_.rows.row(depth + line);
    }
  }

  const Source& from_;
  int line_, place_;
  int left_;  // columns left, counted from the first copy's column
  const bf16* lines_[kAlongDepth ? kCopies : 1];
  unsigned there_ = 0;  // one bit per line
  int found_ = 0;
};

// Reads one warp's fragments of A (kLeft) or B from a stage, 16 rows (columns) by 16 steps at a time.
template <typename Source, int kExtent, bool kLeft>
class TensorTile::Reader {
  static constexpr bool kAlongDepth = Source::kAlong == Along::depth;
  using Shared = Layout<Source::kAlong, kExtent>;

 public:
  // ldmatrix reads four 8 x 8 matrices, in the order that mma needs: for A along the rows first, for B along the depth
  // first. In memory, this order goes first across the lines (lines_first) or first along them. The lane's row of a
  // matrix is chunk `chunk` of line `inner`.
  __device__ explicit Reader(int begin) {
    const int lane = lane_index();
    constexpr bool lines_first = kLeft == kAlongDepth;
    const int inner = lines_first ? lane % 16 : lane % 8 + lane / 16 * 8,
              chunk = lines_first ? lane / 16 : lane / 8 % 2;
    place_ = kAlongDepth ? Shared::place(begin + inner, chunk) : Shared::place(inner, begin / kChunk + chunk);
  }

  // Within a line, a step is added to the place by exclusive or: the permutation is an exclusive or too, and `chunk` is
  // the lowest bit.
  __device__ void read(uint32_t (&fragment)[4], const bf16* stage, int slice, int tile16) const {
    const int along = 2 * (kAlongDepth ? slice : tile16), across = 16 * (kAlongDepth ? tile16 : slice);
    ldmatrix<!kAlongDepth>(fragment, stage + ((place_ ^ along) + across * Shared::kChunks) * kChunk);
  }

 private:
  int place_;
};

template <typename A, typename B, typename Epilogue>
__device__ void TensorTile::multiply(const A& a, const B& b, int64_t depth, const Epilogue& epilogue) {
  const int warp_row = warp_index() / kWarpsAcross * kWarpRows,
            warp_column = warp_index() % kWarpsAcross * kWarpColumns;
  Copier<A, kRows> a_copier(a);
  Copier<B, kColumns> b_copier(b);
  const Reader<A, kRows, true> a_reader(warp_row);
  const Reader<B, kColumns, false> b_reader(warp_column);
  const int steps = static_cast<int>(ceil_div(depth, kDepth));

  bf16* const shared = shared_memory<bf16>();
  const auto stage = [=](int step) { return shared + step % kStages * kStageElements; };
  const auto fetch = [&](int step) {
    if (step < steps) {
      a_copier.copy(stage(step), step * kDepth);
      b_copier.copy(stage(step) + kRows * kDepth, step * kDepth);
    }
    cp_async_commit();
  };
  // Two sets of fragments: one is read while the other is multiplied.
  uint32_t a_fragments[2][kMmaRows][4], b_fragments[2][kMmaColumns / 2][4];
  const auto read = [&](int set, int step, int slice) {
    GPTMOE_UNROLL
    for (int m = 0; m < kMmaRows; ++m) a_reader.read(a_fragments[set][m], stage(step), slice, m);
    GPTMOE_UNROLL
    for (int n = 0; n < kMmaColumns / 2; ++n)
      b_reader.read(b_fragments[set][n], stage(step) + kRows * kDepth, slice, n);
  };
  float sums[kMmaRows][kMmaColumns][4] = {};

  for (int step = 0; step < kStages - 1; ++step) fetch(step);
  cp_async_wait<kStages - 2>();
  __syncthreads();
  read(0, 0, 0);
  for (int step = 0; step < steps; ++step) {
    GPTMOE_UNROLL
    for (int slice = 0; slice < kSlices; ++slice) {
      const bool last = slice == kSlices - 1;
      if (last) {  // the next stage must be loaded now; after this barrier, no thread reads this stage
        cp_async_wait<kStages - 2>();
        __syncthreads();
      }
      read((slice + 1) % 2, last ? step + 1 : step, (slice + 1) % kSlices);  // after the last step, nothing uses it
      if (slice == 0) fetch(step + kStages - 1);                             // into the stage before this one
      GPTMOE_UNROLL
      for (int m = 0; m < kMmaRows; ++m) {
        GPTMOE_UNROLL
        for (int n = 0; n < kMmaColumns; ++n) {
          const uint32_t* pair = b_fragments[slice % 2][n / 2] + n % 2 * 2;
          const uint32_t column[2] = {pair[0], pair[1]};
          mma_bf16(sums[m][n], a_fragments[slice % 2][m], column);
        }
      }
    }
  }

  // The product passes through shared memory, 16 rows of a warp at a time, so that the epilogue gets 8 elements of a
  // row at once and a warp accesses whole cache lines. The stride avoids bank conflicts of the writes. The reads have
  // no conflicts because the upper four of every eight lanes read their halves in the other order.
  __syncthreads();
  constexpr int kStride = kWarpColumns + 8, kPacks = kWarpColumns / 8;
  static_assert(kThreads / kWarp * 16 * kStride * sizeof(float) <= kSharedBytes);
  float* const slab = shared_memory<float>() + warp_index() * 16 * kStride;
  const int lane = lane_index(), flip = lane / 4 % 2;
  GPTMOE_UNROLL
  for (int m = 0; m < kMmaRows; ++m) {
    __syncwarp();
    GPTMOE_UNROLL
    for (int n = 0; n < kMmaColumns; ++n) {
      float* to = slab + lane / 4 * kStride + n * 8 + lane % 4 * 2;
      Pack<float, 2>{{sums[m][n][0], sums[m][n][1]}}.store(to);
      Pack<float, 2>{{sums[m][n][2], sums[m][n][3]}}.store(to + 8 * kStride);
    }
    __syncwarp();
    constexpr int kRowsAtOnce = kWarp / kPacks, kPasses = 16 / kRowsAtOnce;
    const int row = lane / kPacks, column = lane % kPacks * 8;
    float values[kPasses][8];
    GPTMOE_UNROLL
    for (int i = 0; i < kPasses; ++i) {
      const float* from = slab + (row + i * kRowsAtOnce) * kStride + column;
      const auto one = Pack<float, 4>::load(from + 4 * flip), other = Pack<float, 4>::load(from + 4 - 4 * flip);
      GPTMOE_UNROLL
      for (int j = 0; j < 4; ++j) {
        values[i][j] = flip ? other.element[j] : one.element[j];
        values[i][4 + j] = flip ? one.element[j] : other.element[j];
      }
    }
    epilogue(warp_row + m * 16 + row, kRowsAtOnce, warp_column + column, values);
  }
}

}  // namespace gptmoe::cuda
