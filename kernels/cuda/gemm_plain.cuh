#pragma once
// One 64 x 64 tile of a matrix product in f32 multiply-adds, for f32 (which tensor cores would round) and for widths
// that gemm_tile.cuh does not support. It has the same interface as gemm_tile.cuh.
#include "kernels/cuda/gemm_operand.cuh"

namespace gptmoe::cuda {

struct PlainTile {
  static constexpr int kRows = 64, kColumns = 64, kDepth = 16, kThreads = 256;
  static constexpr int kBlocksPerMultiprocessor = 2;
  static constexpr size_t kSharedBytes = 2 * sizeof(float) * kDepth * (64 + 4);

  // Passes the product of `a` and `b` over `depth` steps to `epilogue`, Epilogue::kTogether columns at a time.
  template <typename A, typename B, typename Epilogue>
  __device__ static void multiply(const A& a, const B& b, int64_t depth, const Epilogue& epilogue) {
    float* const shared_a = shared_memory<float>();
    float* const shared_b = shared_a + kDepth * kStride;
    const int thread = static_cast<int>(threadIdx.x);
    const int row = thread / 16 * 4, column = thread % 16 * 4;  // a thread computes 4 x 4 elements of the tile
    float sums[4][4] = {};
    Held<A> held_a(a);
    Held<B> held_b(b);
    held_a.load(0);
    held_b.load(0);
    for (int64_t step = 0; step < depth; step += kDepth) {
      held_a.store(shared_a);
      held_b.store(shared_b);
      __syncthreads();
      if (step + kDepth < depth) {
        held_a.load(step + kDepth);
        held_b.load(step + kDepth);
      }
      GPTMOE_UNROLL
      for (int k = 0; k < kDepth; ++k) {
        const auto left = Pack<float, 4>::load(shared_a + k * kStride + row);
        const auto right = Pack<float, 4>::load(shared_b + k * kStride + column);
        for (int i = 0; i < 4; ++i)
          for (int j = 0; j < 4; ++j) sums[i][j] += left.element[i] * right.element[j];
      }
      __syncthreads();
    }
    constexpr int kCount = Epilogue::kTogether;
    GPTMOE_UNROLL
    for (int j = 0; j < 4; j += kCount) {
      float values[4][kCount];
      for (int i = 0; i < 4; ++i)
        for (int k = 0; k < kCount; ++k) values[i][k] = sums[i][j + k];
      epilogue(row, 1, column + j, values);
    }
  }

 private:
  static constexpr int kStride = 64 + 4;  // one step of depth, padded against bank conflicts

  // Holds a thread's four elements of an operand's next 64 x 16 block on their way from global to shared memory.
  template <typename Source>
  class Held {
    static constexpr bool kAlongDepth = Source::kAlong == Along::depth;

   public:
    __device__ explicit Held(const Source& from) : from_(from) {}
    __device__ void load(int64_t depth) {
      for (int i = 0; i < 4; ++i) {
        const int64_t row = from_.rows.row(kAlongDepth ? line(i) : static_cast<int>(depth) + line(i));
        const int64_t column = from_.first + inner() + (kAlongDepth ? depth : 0);
        elements_[i] = row >= 0 && column < from_.end ? to_float(from_.data[row * from_.stride + column]) : 0.0f;
      }
    }
    __device__ void store(float* shared) const {
      for (int i = 0; i < 4; ++i)
        shared[kAlongDepth ? inner() * kStride + line(i) : line(i) * kStride + inner()] = elements_[i];
    }

   private:
    // Neighbouring threads take neighbouring elements of a row in memory.
    static constexpr int kWidth = kAlongDepth ? kDepth : 64;
    __device__ static int inner() { return static_cast<int>(threadIdx.x) % kWidth; }
    __device__ static int line(int i) { return static_cast<int>(threadIdx.x) / kWidth + i * (kThreads / kWidth); }

    const Source& from_;
    float elements_[4];
  };
};

}  // namespace gptmoe::cuda
