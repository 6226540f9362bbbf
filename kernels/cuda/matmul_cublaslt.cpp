// cuBLASLt is column-major: our c_MN is its (N, M), so it computes c^T = op(b)^T op(a)^T, with our b first.
#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>

#include "kernels/cuda/cublas_check.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/matmul_plain.h"
#include "kernels/cuda_limits.h"

namespace gptmoe::cuda {
namespace {

cudaDataType_t data_type(DType dtype) { return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// The alignment of a tensor's start in bytes, up to 256, the most that any algorithm needs.
uint32_t alignment(const Tensor& x) {
  const auto address = reinterpret_cast<uintptr_t>(x.data());
  return uint32_t{1} << std::min(8, std::countr_zero(address | 256));
}

// Everything that determines how a product is computed, so that equal products are computed in the same way.
using Key = std::tuple<Order, DType, DType, Write, int64_t, int64_t, int64_t, uint32_t, uint32_t, uint32_t>;

// The library's objects, owned.
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
using Layout = Owned<cublasLtMatrixLayout_t>;

// A row of ours is a column for cuBLASLt. The library's arguments are rows, columns, and the stride of columns.
Layout make_layout(DType dtype, int64_t rows, int64_t width) {
  cublasLtMatrixLayout_t made = nullptr;
  CUBLAS_CHECK(CUBLASLT(cublasLtMatrixLayoutCreate)(&made, data_type(dtype), static_cast<uint64_t>(width),
                                                    static_cast<uint64_t>(rows), width));
  return Layout(made);
}

Owned<cublasLtMatmulDesc_t> make_operation(Order order) {
  cublasLtMatmulDesc_t made = nullptr;
  CUBLAS_CHECK(CUBLASLT(cublasLtMatmulDescCreate)(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Owned<cublasLtMatmulDesc_t> operation(made);
  const auto transpose = [&](cublasLtMatmulDescAttributes_t attribute, bool transposed) {
    const int32_t value = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    CUBLAS_CHECK(CUBLASLT(cublasLtMatmulDescSetAttribute)(made, attribute, &value, sizeof value));
  };
  transpose(CUBLASLT_MATMUL_DESC_TRANSA, order == Order::nt);
  transpose(CUBLASLT_MATMUL_DESC_TRANSB, order == Order::tn);
  return operation;
}

// Admits the algorithms that sum in f32 throughout.
Owned<cublasLtMatmulPreference_t> make_preference(uint32_t align_first, uint32_t align_second, uint32_t align_out) {
  cublasLtMatmulPreference_t made = nullptr;
  CUBLAS_CHECK(CUBLASLT(cublasLtMatmulPreferenceCreate)(&made));
  Owned<cublasLtMatmulPreference_t> preference(made);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    CUBLAS_CHECK(CUBLASLT(cublasLtMatmulPreferenceSetAttribute)(made, attribute, &value, sizeof value));
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kMatmulWorkspaceBytes});
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, align_first);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, align_second);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, align_out);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, align_out);
  return preference;
}

// One way to compute products of one key.
class Plan {
 public:
  Plan(cublasLtHandle_t handle, const Key& key)
      : order_(std::get<Order>(key)), write_(std::get<Write>(key)), operation_(make_operation(order_)) {
    const auto [order, in, out, write, M, N, K, align_c, align_a, align_b] = key;
    first_ = order == Order::nt ? make_layout(in, N, K) : make_layout(in, K, N);
    second_ = order == Order::tn ? make_layout(in, K, M) : make_layout(in, M, K);
    out_ = make_layout(out, M, N);
    choose(handle, *make_preference(align_b, align_a, align_c));
  }

  void run(cublasLtHandle_t handle, cudaStream_t stream, void* workspace, const Tensor& c, const Tensor& a,
           const Tensor& b) const {
    if (!algorithm_) return plain_product(stream, order_, c, a, b, write_);
    const float alpha = 1, beta = write_ == Write::add ? 1 : 0;
    CUBLAS_CHECK(CUBLASLT(cublasLtMatmul)(handle, operation_.get(), &alpha, b.data(), first_.get(), a.data(),
                                          second_.get(), &beta, c.data(), out_.get(), c.data(), out_.get(),
                                          &*algorithm_, workspace, kMatmulWorkspaceBytes, stream));
  }

 private:
  // Takes the library's first choice. It is not timed: timings vary, and another choice would give other bits.
  void choose(cublasLtHandle_t handle, cublasLtMatmulPreferenceOpaque_t& preference) {
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t status = CUBLASLT(cublasLtMatmulAlgoGetHeuristic)(
        handle, operation_.get(), first_.get(), second_.get(), out_.get(), out_.get(), &preference, 1, &found, &count);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return;
    CUBLAS_CHECK(status);
    if (count > 0 && found.state == CUBLAS_STATUS_SUCCESS) algorithm_ = found.algo;
  }

  Order order_;
  Write write_;
  Owned<cublasLtMatmulDesc_t> operation_;
  Layout first_, second_, out_;
  std::optional<cublasLtMatmulAlgo_t> algorithm_;  // absent: the library has none, so our own kernel computes it
};

}  // namespace

struct Matmul::State {
  cudaStream_t stream;
  Owned<cublasLtHandle_t> handle = nullptr;
  void* workspace = nullptr;
  std::map<Key, Plan> plans = {};

  explicit State(cudaStream_t order_of) : stream(order_of) {
    cublasLtHandle_t made = nullptr;
    CUBLAS_CHECK(CUBLASLT(cublasLtCreate)(&made));
    handle.reset(made);
    CUDA_CHECK(cudaMalloc(&workspace, kMatmulWorkspaceBytes));
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { cudaFree(workspace); }
};

Matmul::Matmul(cudaStream_t stream) : state_(std::make_unique<State>(stream)) {}
Matmul::~Matmul() = default;

void Matmul::run(Order order, const Tensor& c, const Tensor& a, const Tensor& b, Write write) {
  const auto [M, N, K] = product_sizes(order, c, a, b);
  const DType in = a.dtype(), out = c.dtype();
  GPTMOE_CHECK(b.dtype() == in && ((in == DType::f32 && out == DType::f32) ||
                                   (in == DType::bf16 && (out == DType::bf16 || out == DType::f32))),
               c.describe(), " from ", a.describe(), " and ", b.describe());
  if (M == 0 || N == 0) return;
  const Key key{order, in, out, write, M, N, K, alignment(c), alignment(a), alignment(b)};
  auto found = state_->plans.find(key);
  if (found == state_->plans.end())
    found = state_->plans
                .emplace(std::piecewise_construct, std::forward_as_tuple(key),
                         std::forward_as_tuple(state_->handle.get(), key))
                .first;
  found->second.run(state_->handle.get(), state_->stream, state_->workspace, c, a, b);
}

}  // namespace gptmoe::cuda
