#pragma once
// One dense product as cuBLASLt sees it. cuBLASLt is column-major: our c_MN is its (N, M), so it computes c^T = op(b)^T
// op(a)^T, with our b first.
#include <compare>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/cuda/cublaslt_library.h"
#include "kernels/cuda/matmul.h"

namespace gptmoe::cuda {

// Owners of the library's objects.
struct Destroy {
  void operator()(cublasLtHandle_t handle) const { CUBLASLT(cublasLtDestroy)(handle); }
  void operator()(cublasLtMatmulDesc_t operation) const { CUBLASLT(cublasLtMatmulDescDestroy)(operation); }
  void operator()(cublasLtMatrixLayout_t layout) const { CUBLASLT(cublasLtMatrixLayoutDestroy)(layout); }
  void operator()(cublasLtMatmulPreference_t preference) const {
    CUBLASLT(cublasLtMatmulPreferenceDestroy)(preference);
  }
};
template <typename Pointer>
using Owned = std::unique_ptr<std::remove_pointer_t<Pointer>, Destroy>;

// Everything that determines how a product is computed, so that equal products are computed in the same way.
struct ProductKey {
  Order order;
  DType in, out;
  Write write;
  bool bias;
  int64_t M, N, K;
  uint32_t align_c, align_a, align_b, align_bias;  // of the tensors' starts, in bytes

  ProductKey(Order order, const Tensor& c, const Tensor& a, const Tensor& b, const Tensor& bias, Write write);
  auto operator<=>(const ProductKey&) const = default;
  double flops() const;
  // "nt, bf16 to f32, 512 x 1024 x 2816, add, ...": all of the key.
  std::string describe() const;
};

class CublasLtProduct {
 public:
  // `bias` is the bias of the first product; the library may look at its address when it proposes algorithms.
  CublasLtProduct(cublasLtHandle_t handle, const ProductKey& key, const Tensor& bias);

  // The algorithms that the library proposes, the best first, at most `most`. They sum in f32 throughout.
  std::vector<cublasLtMatmulAlgo_t> algorithms(int most) const;
  // Whether an algorithm that was found by an earlier process can compute this product.
  bool accepts(const cublasLtMatmulAlgo_t& algorithm) const;
  // Sets `to` to the product, plus c with Write::add, plus the bias. `to` has the sizes and the type of c and may be c.
  // Returns whether the algorithm supports this. `workspace` holds kMatmulWorkspaceBytes.
  bool run(cudaStream_t stream, void* workspace, const cublasLtMatmulAlgo_t& algorithm, void* to, const Tensor& c,
           const Tensor& a, const Tensor& b, const Tensor& bias) const;

 private:
  cublasLtHandle_t handle_;
  ProductKey key_;
  Owned<cublasLtMatmulDesc_t> operation_;
  Owned<cublasLtMatrixLayout_t> first_, second_, out_;
};

}  // namespace gptmoe::cuda
