#include "kernels/cuda/cublaslt_product.h"

#include <algorithm>
#include <bit>

#include "kernels/cuda/cublas_check.h"
#include "kernels/cuda_limits.h"

namespace gptmoe::cuda {
namespace {

cudaDataType_t data_type(DType dtype) { return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// The alignment of a tensor's start in bytes, up to 256, the most that any algorithm needs.
uint32_t alignment(const Tensor& x) {
  const auto address = reinterpret_cast<uintptr_t>(x.data());
  return uint32_t{1} << std::min(8, std::countr_zero(address | 256));
}

// A row of ours is a column for cuBLASLt. The library's arguments are rows, columns, and the stride of columns.
Owned<cublasLtMatrixLayout_t> make_layout(DType dtype, int64_t rows, int64_t width) {
  cublasLtMatrixLayout_t made = nullptr;
  CUBLAS_CHECK(CUBLASLT(cublasLtMatrixLayoutCreate)(&made, data_type(dtype), static_cast<uint64_t>(width),
                                                    static_cast<uint64_t>(rows), width));
  return Owned<cublasLtMatrixLayout_t>(made);
}

template <typename T>
void set(cublasLtMatmulDescOpaque_t& operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  CUBLAS_CHECK(CUBLASLT(cublasLtMatmulDescSetAttribute)(&operation, attribute, &value, sizeof value));
}

void set_bias(cublasLtMatmulDescOpaque_t& operation, const Tensor& bias) {
  set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(bias.data()));
}

Owned<cublasLtMatmulDesc_t> make_operation(const ProductKey& key, const Tensor& bias) {
  cublasLtMatmulDesc_t made = nullptr;
  CUBLAS_CHECK(CUBLASLT(cublasLtMatmulDescCreate)(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Owned<cublasLtMatmulDesc_t> operation(made);
  const auto transpose = [](bool transposed) { return int32_t{transposed ? CUBLAS_OP_T : CUBLAS_OP_N}; };
  set(*made, CUBLASLT_MATMUL_DESC_TRANSA, transpose(key.order == Order::nt));
  set(*made, CUBLASLT_MATMUL_DESC_TRANSB, transpose(key.order == Order::tn));
  // The library's bias has an element for each row of its D, which is a column of ours, and has the type of D.
  if (key.bias) {
    set(*made, CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{CUBLASLT_EPILOGUE_BIAS});
    set_bias(*made, bias);
  }
  return operation;
}

}  // namespace

ProductKey::ProductKey(Order order_of, const Tensor& c, const Tensor& a, const Tensor& b, const Tensor& bias_of,
                       Write write_of)
    : order(order_of),
      in(a.dtype()),
      out(c.dtype()),
      write(write_of),
      bias(bias_of.present()),
      align_c(alignment(c)),
      align_a(alignment(a)),
      align_b(alignment(b)),
      align_bias(bias ? alignment(bias_of) : 0) {
  const ProductSizes sizes = product_sizes(order, c, a, b);
  M = sizes.M, N = sizes.N, K = sizes.K;
}

double ProductKey::flops() const {
  return 2.0 * static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K);
}

std::string ProductKey::describe() const {
  constexpr const char* kOrders[] = {"nt", "nn", "tn"};
  return text(kOrders[static_cast<int>(order)], ", ", dtype_name(in), " to ", dtype_name(out), ", ", M, " x ", N, " x ",
              K, write == Write::add ? ", add" : "", bias ? text(", bias aligned to ", align_bias) : "",
              ", aligned to ", align_c, " ", align_a, " ", align_b, ", workspace ", kMatmulWorkspaceBytes);
}

CublasLtProduct::CublasLtProduct(cublasLtHandle_t handle, const ProductKey& key, const Tensor& bias)
    : handle_(handle), key_(key), operation_(make_operation(key, bias)) {
  const auto [M, N, K] = ProductSizes{key.M, key.N, key.K};
  first_ = key.order == Order::nt ? make_layout(key.in, N, K) : make_layout(key.in, K, N);
  second_ = key.order == Order::tn ? make_layout(key.in, K, M) : make_layout(key.in, M, K);
  out_ = make_layout(key.out, M, N);
}

std::vector<cublasLtMatmulAlgo_t> CublasLtProduct::algorithms(int most) const {
  cublasLtMatmulPreference_t made = nullptr;
  CUBLAS_CHECK(CUBLASLT(cublasLtMatmulPreferenceCreate)(&made));
  const Owned<cublasLtMatmulPreference_t> preference(made);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    CUBLAS_CHECK(CUBLASLT(cublasLtMatmulPreferenceSetAttribute)(made, attribute, &value, sizeof value));
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kMatmulWorkspaceBytes});
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key_.align_b);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key_.align_a);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key_.align_c);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key_.align_c);
  std::vector<cublasLtMatmulHeuristicResult_t> found(static_cast<size_t>(most));
  int count = 0;
  const cublasStatus_t status = CUBLASLT(cublasLtMatmulAlgoGetHeuristic)(
      handle_, operation_.get(), first_.get(), second_.get(), out_.get(), out_.get(), made, most, found.data(), &count);
  std::vector<cublasLtMatmulAlgo_t> usable;
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return usable;
  CUBLAS_CHECK(status);
  found.resize(static_cast<size_t>(count));
  for (const cublasLtMatmulHeuristicResult_t& result : found)
    if (result.state == CUBLAS_STATUS_SUCCESS) usable.push_back(result.algo);
  return usable;
}

bool CublasLtProduct::accepts(const cublasLtMatmulAlgo_t& algorithm) const {
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t status = CUBLASLT(cublasLtMatmulAlgoCheck)(
      handle_, operation_.get(), first_.get(), second_.get(), out_.get(), out_.get(), &algorithm, &result);
  return status == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= static_cast<size_t>(kMatmulWorkspaceBytes);
}

bool CublasLtProduct::run(cudaStream_t stream, void* workspace, const cublasLtMatmulAlgo_t& algorithm, void* to,
                          const Tensor& c, const Tensor& a, const Tensor& b, const Tensor& bias) const {
  if (key_.bias) set_bias(*operation_, bias);
  const float alpha = 1, beta = key_.write == Write::add ? 1 : 0;
  const cublasStatus_t status = CUBLASLT(cublasLtMatmul)(
      handle_, operation_.get(), &alpha, b.data(), first_.get(), a.data(), second_.get(), &beta, c.data(), out_.get(),
      to, out_.get(), &algorithm, workspace, kMatmulWorkspaceBytes, stream);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return false;
  CUBLAS_CHECK(status);
  return true;
}

}  // namespace gptmoe::cuda
