#pragma once
// Dense row-major matrix products: all products except those per expert. cuBLASLt computes them (matmul_cublaslt.cpp),
// or our own kernel where cuBLASLt has no algorithm (matmul_plain.h).
#include <cuda_runtime.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/kept_texts.h"
#include "base/tensor.h"
#include "kernels/cuda/product_choices.h"
#include "kernels/kernels.h"

namespace gptmoe::cuda {

// Says which operand of c_MN = op(a) op(b) is transposed.
enum class Order {
  nt,  // a_MK, b_NK: a linear layer's output
  nn,  // a_MK, b_KN: the gradient of the layer's input
  tn,  // a_KM, b_KN: the gradient of the layer's weight
};

struct ProductSizes {
  int64_t M, N, K;
};

// Throws BugError unless the three are matrices of matching sizes.
inline ProductSizes product_sizes(Order order, const Tensor& c, const Tensor& a, const Tensor& b) {
  const ProductSizes sizes{c.size(0), c.size(1), a.size(order == Order::tn ? 0 : 1)};
  const auto [M, N, K] = sizes;
  GPTMOE_CHECK(c.rank() == 2 && (order == Order::tn ? a.has_sizes({K, M}) : a.has_sizes({M, K})) &&
                   (order == Order::nt ? b.has_sizes({N, K}) : b.has_sizes({K, N})) && K > 0,
               c.describe(), " from ", a.describe(), " and ", b.describe());
  return sizes;
}

// How Matmul chooses cuBLASLt's algorithms. Products of fewer than `least_flops` FLOPs, which take a few microseconds,
// use the algorithm that the library proposes first. Larger products use the fastest of several (product_choices.h).
struct MatmulTuning {
  std::filesystem::path file = user_cache_file("cublaslt.json");
  double least_flops = 1e9;
};

class Matmul {
 public:
  // Allocates its workspace now. Later, only timing the first product of a kind allocates memory, and frees it again.
  explicit Matmul(cudaStream_t stream, MatmulTuning tuning = {});
  ~Matmul();
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;

  // Sets c to the product, or adds the product to it; the work is queued on `stream`. Either a and b are bf16 and
  // c is bf16 or f32, or all three are f32. Sums are in f32, without TF32. `bias`, if it is present, has the type of c
  // and is added to every row. The first product of its kind waits for the stream, so it must not be in a graph.
  void run(Order order, const Tensor& c, const Tensor& a, const Tensor& b, Write write, const Tensor& bias = {});

  // From now on, also keeps choices in this file (ProductChoices::keep_in).
  void keep_choices(const std::filesystem::path& file);
  // Lines for the user since the last call: about files of choices, and, once, that cuBLASLt cannot compute a product.
  std::vector<std::string> take_notes();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gptmoe::cuda
