#pragma once
// Tiles of 128 x kColumns of a bf16 matrix product, accumulated in f32 on wgmma, by a block of three warpgroups. The
// first fills a ring of stages, each with 64 steps of depth of both operands. The other two multiply 64 rows each.
//
// A stage of 128 x 256 is 48 KiB for 4.2 MFLOP. Multiplying 64 x 256 by a warpgroup for 16 steps of depth takes 128
// cycles and reads 10 KiB of shared memory, which is 80 cycles at 128 bytes per cycle; N = 128 takes 64 and reads 48
// cycles' worth. So the tensor cores are the limit, as long as L2 delivers 48 bytes (64) per cycle and multiprocessor.
#include "kernels/cuda/hopper/ring.cuh"
#include "kernels/cuda/hopper/wgmma.cuh"

namespace gptmoe::cuda::hopper {

// An operand in a stage consists of boxes of 64 elements along the contiguous dimension, which are the 128 bytes of the
// swizzle. Major::k: one box of all its rows (or columns). Major::mn: for every 64 rows (or columns) a box of 64 steps
// of depth.
constexpr int kBoxWidth = 64, kBoxElements = kBoxWidth * kBoxWidth;

template <int kColumns_, Major kMajorA, Major kMajorB>
struct ProductTile {
  static constexpr int kRows = 128, kColumns = kColumns_, kDepth = kBoxWidth;
  static constexpr int kGroupRows = 64;  // of a warpgroup
  static constexpr int kUsers = kRows / kGroupRows, kThreads = (1 + kUsers) * kWarpgroup;
  static constexpr int kElementsA = kRows * kDepth, kElementsB = kColumns * kDepth;
  static constexpr uint32_t kBytesA = kElementsA * sizeof(bf16), kBytesB = kElementsB * sizeof(bf16);
  static constexpr int kStages = kColumns == 256 ? 4 : 6;
  static constexpr int kSums = kColumns / 2;  // of a thread

  using StageRing = Ring<kStages>;
  struct Shared {
    alignas(1024) bf16 stages[kStages][kElementsA + kElementsB];
    StageRing ring;
  };
  static_assert(sizeof(Shared) <= 227 * 1024);

  __device__ static bf16* a(int stage) { return shared_memory<Shared>()->stages[stage]; }
  __device__ static bf16* b(int stage) { return a(stage) + kElementsA; }
  __device__ static StageRing& ring() { return shared_memory<Shared>()->ring; }

  // Begins a kernel: fill() runs in the first warpgroup, and use() in the others. `fills`: Filler::kFills.
  template <typename Fill, typename Use>
  __device__ static void run(uint32_t fills, Fill fill, Use use) {
    if (threadIdx.x == 0) ring().init(fills, kUsers * kWarpgroup / kWarp);
    __syncthreads();
    // Together, the three warpgroups have the 168 registers a thread that a block of 384 threads gets.
    if (warpgroup_index() == 0) {
      give_registers<72>();
      fill();
    } else {
      take_registers<216>();
      use();
    }
  }

  // Sets `sums` to the product of the next `steps` stages: the sums of wgmma for the warpgroup's 64 rows. Each stage is
  // passed to prepare(stage, step) when it is full.
  template <typename Prepare>
  __device__ static void multiply(float (&sums)[kSums], Walk<StageRing>& walk, int steps, Prepare prepare) {
    const int first_row = (warpgroup_index() - 1) * kGroupRows;
    for (int step = 0; step < steps; ++step, walk.next()) {
      walk.wait_full();
      prepare(walk.stage(), step);
      wgmma_fence();
      GPTMOE_UNROLL
      for (int k = 0; k < kDepth; k += 16)
        wgmma<kColumns, kMajorA, kMajorB>(sums, describe<kMajorA>(a(walk.stage()), first_row, k),
                                          describe<kMajorB>(b(walk.stage()), 0, k), step > 0 || k > 0);
      wgmma_commit();
      if (step == 0) continue;
      wgmma_wait<1>();
      walk.release_previous();
    }
    wgmma_wait<0>();
    walk.release_previous();
  }

  // Brings the tile's part of a matrix to L2, for an epilogue that will read it. `from` points to the first element,
  // after which `rows` x `columns` elements remain. All users call it before they multiply.
  template <typename T>
  __device__ static void prefetch(const T* from, int64_t stride, int rows, int columns) {
    constexpr int kLine = 128 / sizeof(T);
    const int lines = ceil_div(min(columns, kColumns), kLine), thread = static_cast<int>(threadIdx.x) - kWarpgroup;
    for (int i = thread; i < min(rows, kRows) * lines; i += kUsers * kWarpgroup)
      prefetch_l2(from + i / lines * stride + i % lines * kLine);
  }

  // Passes sums to an epilogue (gemm_operand.cuh), eight columns of two rows at a time.
  template <typename Epilogue>
  __device__ static void pass(const float (&sums)[kSums], const Epilogue& epilogue) {
    GPTMOE_UNROLL
    for (int at = 0; at < kColumns; at += 32) {
      float values[2][8];
      whole_columns(values, sums, at);
      epilogue(row(), 8, at + lane_index() % 4 * 8, values);
    }
  }
  // The same for a tile whose left half holds gates, and whose right half holds the ups of the same features. The
  // epilogue gets them alternating.
  template <typename Epilogue>
  __device__ static void pass_pairs(const float (&sums)[kSums], const Epilogue& epilogue) {
    GPTMOE_UNROLL
    for (int at = 0; at < kColumns / 2; at += 32) {
      float gates[2][8], ups[2][8], pairs[2][16];
      whole_columns(gates, sums, at);
      whole_columns(ups, sums, at + kColumns / 2);
      GPTMOE_UNROLL
      for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 8; ++j) pairs[i][2 * j] = gates[i][j], pairs[i][2 * j + 1] = ups[i][j];
      epilogue(row(), 8, 2 * (at + lane_index() % 4 * 8), pairs);
    }
  }

 private:
  // The operand's rows (columns) from `first` on, a multiple of 64, and 16 steps of depth from `k` on.
  template <Major kMajor>
  __device__ static uint64_t describe(const bf16* operand, int first, int k) {
    constexpr uint32_t kEightLines = 8 * kBoxWidth * sizeof(bf16), kBox = kBoxElements * sizeof(bf16);
    const bf16* start = operand + first * kBoxWidth + (kMajor == Major::k ? k : k * kBoxWidth);
    return matrix_descriptor(start, kMajor == Major::k ? 0 : kBox, kEightLines, SharedSwizzle::bytes_128);
  }

  // The lane's upper row in the tile; the other one is eight rows further down.
  __device__ static int row() { return (warp_index() - kWarpgroup / kWarp) * 16 + lane_index() / 4; }

  // Of every eight columns, wgmma leaves two in each of four lanes. This gives lane l % 4 = t the columns at + 8t to at
  // + 8t + 7, by transposing 4 x 4 pairs among four lanes.
  __device__ static void whole_columns(float (&values)[2][8], const float (&sums)[kSums], int at) {
    GPTMOE_UNROLL
    for (int i = 0; i < 4; ++i) {  // row i / 2, column i % 2 of a pair
      float pair[4];
      GPTMOE_UNROLL
      for (int j = 0; j < 4; ++j) pair[j] = sums[at / 2 + 4 * j + i];
      exchange<1>(pair[0], pair[1]);
      exchange<1>(pair[2], pair[3]);
      exchange<2>(pair[0], pair[2]);
      exchange<2>(pair[1], pair[3]);
      GPTMOE_UNROLL
      for (int j = 0; j < 4; ++j) values[i / 2][2 * j + i % 2] = pair[j];
    }
  }
  // Lanes without kBit swap their `high` for the `low` of the lane with it.
  template <int kBit>
  __device__ static void exchange(float& low, float& high) {
    const bool with_bit = (lane_index() & kBit) != 0;
    const float got = __shfl_xor_sync(kAllLanes, with_bit ? low : high, kBit);
    if (with_bit)
      low = got;
    else
      high = got;
  }
};

// Calls visit with std::integral_constant<int, kColumns> for tiles that leave few columns of a product of this width
// empty.
template <typename Visit>
void with_columns(int64_t width, Visit visit) {
  if (width % 256 > 0 && width % 256 <= 128)
    visit(std::integral_constant<int, 128>{});
  else
    visit(std::integral_constant<int, 256>{});
}

}  // namespace gptmoe::cuda::hopper
