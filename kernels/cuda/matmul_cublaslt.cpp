// cuBLASLt is column-major: our c_MN is its (N, M), so it computes c^T = op(b)^T op(a)^T, with our b first.
#include <algorithm>
#include <bit>
#include <map>
#include <tuple>

#include "kernels/cuda/cublas_check.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/matmul.h"
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

class Preference {
 public:
  Preference() { CUBLAS_CHECK(CUBLASLT(cublasLtMatmulPreferenceCreate)(&preference_)); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  ~Preference() { CUBLASLT(cublasLtMatmulPreferenceDestroy)(preference_); }
  template <typename T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    CUBLAS_CHECK(CUBLASLT(cublasLtMatmulPreferenceSetAttribute)(preference_, attribute, &value, sizeof value));
  }
  cublasLtMatmulPreference_t get() const { return preference_; }

 private:
  cublasLtMatmulPreference_t preference_ = nullptr;
};

// One way to compute products of one key.
class Plan {
 public:
  Plan(cublasLtHandle_t handle, const Key& key);
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    for (cublasLtMatrixLayout_t layout : {first_, second_, out_})
      if (layout) CUBLASLT(cublasLtMatrixLayoutDestroy)(layout);
    if (operation_) CUBLASLT(cublasLtMatmulDescDestroy)(operation_);
  }

  void run(cublasLtHandle_t handle, cudaStream_t stream, void* workspace, void* c, const void* a, const void* b) const {
    const float one = 1.0f;
    CUBLAS_CHECK(CUBLASLT(cublasLtMatmul)(handle, operation_, &one, b, first_, a, second_, &beta_, c, out_, c, out_,
                                          &algorithm_, workspace, kMatmulWorkspaceBytes, stream));
  }

 private:
  void choose(cublasLtHandle_t handle, const Key& key);

  cublasLtMatmulDesc_t operation_ = nullptr;
  cublasLtMatrixLayout_t first_ = nullptr, second_ = nullptr, out_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_{};
  float beta_ = 0;
};

Plan::Plan(cublasLtHandle_t handle, const Key& key) {
  const auto [order, in, out, write, M, N, K, align_c, align_a, align_b] = key;
  beta_ = write == Write::add ? 1.0f : 0.0f;
  CUBLAS_CHECK(CUBLASLT(cublasLtMatmulDescCreate)(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const cublasOperation_t plain = CUBLAS_OP_N, transposed = CUBLAS_OP_T;
  CUBLAS_CHECK(CUBLASLT(cublasLtMatmulDescSetAttribute)(operation_, CUBLASLT_MATMUL_DESC_TRANSA,
                                                        order == Order::nt ? &transposed : &plain, sizeof plain));
  CUBLAS_CHECK(CUBLASLT(cublasLtMatmulDescSetAttribute)(operation_, CUBLASLT_MATMUL_DESC_TRANSB,
                                                        order == Order::tn ? &transposed : &plain, sizeof plain));
  // A row of ours is a column for cuBLASLt. The arguments are rows, columns, and the stride of columns.
  const auto layout = [](cublasLtMatrixLayout_t* made, DType dtype, int64_t rows, int64_t width) {
    CUBLAS_CHECK(CUBLASLT(cublasLtMatrixLayoutCreate)(made, data_type(dtype), static_cast<uint64_t>(width),
                                                      static_cast<uint64_t>(rows), width));
  };
  order == Order::nt ? layout(&first_, in, N, K) : layout(&first_, in, K, N);
  order == Order::tn ? layout(&second_, in, K, M) : layout(&second_, in, M, K);
  layout(&out_, out, M, N);
  choose(handle, key);
}

// The library's first choice among the algorithms that sum in f32 throughout. It is not timed: timings vary, and
// another choice would give other bits.
void Plan::choose(cublasLtHandle_t handle, const Key& key) {
  const auto [order, in, out, write, M, N, K, align_c, align_a, align_b] = key;
  Preference preference;
  preference.set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kMatmulWorkspaceBytes});
  preference.set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, align_b);
  preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, align_a);
  preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, align_c);
  preference.set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, align_c);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status = CUBLASLT(cublasLtMatmulAlgoGetHeuristic)(handle, operation_, first_, second_, out_,
                                                                         out_, preference.get(), 1, &found, &count);
  if (status != CUBLAS_STATUS_SUCCESS || count == 0)
    throw Failure(text("cuBLASLt has no algorithm for a product of ", M, " x ", K, " x ", N, " in ", dtype_name(in),
                       ", written as ", dtype_name(out), " (", CUBLASLT(cublasLtGetStatusString)(status), ")"));
  algorithm_ = found.algo;
}

}  // namespace

struct Matmul::State {
  cudaStream_t stream;
  cublasLtHandle_t handle = nullptr;
  void* workspace = nullptr;
  std::map<Key, Plan> plans = {};

  explicit State(cudaStream_t order_of) : stream(order_of) {
    CUBLAS_CHECK(CUBLASLT(cublasLtCreate)(&handle));
    CUDA_CHECK(cudaMalloc(&workspace, kMatmulWorkspaceBytes));
  }
  ~State() {
    plans.clear();
    cudaFree(workspace);
    CUBLASLT(cublasLtDestroy)(handle);
  }
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
    found =
        state_->plans
            .emplace(std::piecewise_construct, std::forward_as_tuple(key), std::forward_as_tuple(state_->handle, key))
            .first;
  found->second.run(state_->handle, state_->stream, state_->workspace, c.data(), a.data(), b.data());
}

}  // namespace gptmoe::cuda
