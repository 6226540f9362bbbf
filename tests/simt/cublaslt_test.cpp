// The stand-in for cuBLASLt finds a planted violation of each rule, and computes the backend's products.
#include <gtest/gtest.h>

#include "kernels/cuda_limits.h"
#include "op_cases/case_run.h"
#include "ops/backends.h"
#include "simt/cublaslt/cublaslt_stand_in.h"
#include "simt/device_memory.h"
#include "simt/simulated_device.h"
#include "simt/stream.h"
#include "support/error_message.h"

namespace gptmoe {
namespace {

// Only the tests below may break a rule. They clear the list.
class NoBrokenRules : public ::testing::Environment {
  void TearDown() override { EXPECT_EQ(simt::cublaslt().broken, std::vector<std::string>{}); }
};
[[maybe_unused]] const auto* const kNoBrokenRules = ::testing::AddGlobalTestEnvironment(new NoBrokenRules);

struct LayoutArguments {
  cudaDataType_t type;
  uint64_t rows, columns;
  int64_t stride;
};

constexpr size_t kBufferBytes = 8192;

// The arguments of all calls for one product, which are right until a test changes some: D (4, 2) = A^T (8, 4) B (8,
// 2).
struct Arguments {
  cudaDataType_t scale = CUDA_R_32F;
  size_t transpose_bytes = sizeof(int32_t);
  int32_t transpose_a = CUBLAS_OP_T;
  cublasLtMatmulDescAttributes_t operation_attribute = CUBLASLT_MATMUL_DESC_TRANSA;
  LayoutArguments a{CUDA_R_16BF, 8, 4, 8}, b{CUDA_R_16BF, 8, 2, 10}, c{CUDA_R_32F, 4, 2, 4}, d = c;
  uint32_t alignment = 16, reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  cublasLtMatmulPreferenceAttributes_t preference_attribute = CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK;
  int requested = 1;
  bool capture_heuristic = false, capture_product = false, algorithm = true, handle_destroyed = false;
  bool again_on_another_stream = false;
  LayoutArguments product_a = a;  // the layout of A when the product runs
  const float* alpha = nullptr;
  const char *a_data = nullptr, *b_data = nullptr, *c_data = nullptr;
  char *d_data = nullptr, *workspace = nullptr;
  size_t workspace_bytes = kBufferBytes;
  cudaStream_t stream = nullptr;
  int device = 0;
};
using Spoil = void (*)(Arguments& arguments);

class CublasLtRules : public ::testing::Test {
 protected:
  CublasLtRules() {
    simt::guard_device_memory(true);
    cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
    for (char*& buffer : buffers_) cudaMalloc(reinterpret_cast<void**>(&buffer), kBufferBytes);
  }
  ~CublasLtRules() override {
    for (char* buffer : buffers_) cudaFree(buffer);
    cudaStreamDestroy(stream_);
    simt::guard_device_memory(false);
    simt::simulated_device = {};
    simt::cublaslt().broken.clear();
  }

  Arguments right() const {
    Arguments arguments;
    arguments.alpha = &one_;
    arguments.a_data = buffers_[0], arguments.b_data = buffers_[1];
    arguments.c_data = arguments.d_data = buffers_[2];
    arguments.workspace = buffers_[3];
    arguments.stream = stream_;
    return arguments;
  }

  // Makes the calls up to the first that fails, destroys what they created, and returns the broken rule.
  std::string broken_rule(const Arguments& with) {
    cublasLtHandle_t handle = nullptr;
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr, d = nullptr, product_a = nullptr;
    cublasLtMatmulPreference_t preference = nullptr;
    cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
    const auto then = [&](auto call) {
      if (status == CUBLAS_STATUS_SUCCESS) status = call();
    };
    then([&] { return cublasLtCreate(&handle); });
    then([&] { return cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, with.scale); });
    then([&] {
      return cublasLtMatmulDescSetAttribute(operation, with.operation_attribute, &with.transpose_a,
                                            with.transpose_bytes);
    });
    for (const auto& [layout, made] :
         {std::pair{with.a, &a}, {with.b, &b}, {with.c, &c}, {with.d, &d}, {with.product_a, &product_a}})
      then([&, &layout = layout, made = made] {
        return cublasLtMatrixLayoutCreate(made, layout.type, layout.rows, layout.columns, layout.stride);
      });
    then([&] { return cublasLtMatmulPreferenceCreate(&preference); });
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      then([&] { return cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value); });
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kBufferBytes});
    prefer(with.preference_attribute, with.reductions);
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      prefer(attribute, with.alignment);
    if (with.capture_heuristic) cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    then([&] {
      return cublasLtMatmulAlgoGetHeuristic(handle, operation, a, b, c, d, preference, with.requested, &found, &count);
    });
    if (with.capture_product) cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
    simt::simulated_device.count = 2, simt::simulated_device.current = with.device;
    const auto multiply = [&](cudaStream_t stream) {
      const float zero = 0;
      return cublasLtMatmul(handle, operation, with.alpha, with.a_data, product_a, with.b_data, b, &zero, with.c_data,
                            c, with.d_data, d, with.algorithm ? &found.algo : nullptr, with.workspace,
                            with.workspace_bytes, stream);
    };
    if (with.handle_destroyed) cublasLtDestroy(handle);
    then([&] { return multiply(with.stream); });
    if (with.again_on_another_stream) then([&] { return multiply(nullptr); });
    const std::string rule = status == CUBLAS_STATUS_SUCCESS ? "" : cublasLtGetStatusString(status);
    cudaGraph_t graph = nullptr;
    if (simt::capturing()) cudaStreamEndCapture(stream_, &graph);
    if (graph) cudaGraphDestroy(graph);
    if (preference) cublasLtMatmulPreferenceDestroy(preference);
    for (cublasLtMatrixLayout_t layout : {a, b, c, d, product_a})
      if (layout) cublasLtMatrixLayoutDestroy(layout);
    if (operation) cublasLtMatmulDescDestroy(operation);
    if (handle && !with.handle_destroyed) cublasLtDestroy(handle);
    return rule;
  }

  void expect(const std::string& rule, Spoil spoil) {
    Arguments arguments = right();
    spoil(arguments);
    EXPECT_EQ(broken_rule(arguments), rule);
  }

  float one_ = 1;
  cudaStream_t stream_ = nullptr;
  char* buffers_[4] = {};
};

TEST_F(CublasLtRules, ARightProductIsComputed) {
  for (char* buffer : buffers_) cudaMemsetAsync(buffer, 0, kBufferBytes, stream_);
  const int64_t objects = simt::cublaslt().objects, products = simt::cublaslt().products;
  const std::vector<uint16_t> ones(20, 0x3F80), twos(32, 0x4000);
  cudaMemcpyAsync(buffers_[0], twos.data(), 64, cudaMemcpyHostToDevice, stream_);
  cudaMemcpyAsync(buffers_[1], ones.data(), 36, cudaMemcpyHostToDevice, stream_);
  EXPECT_EQ(broken_rule(right()), "");
  std::vector<float> got(9, -1);
  cudaMemcpyAsync(got.data(), buffers_[2], 36, cudaMemcpyDeviceToHost, stream_);
  EXPECT_EQ(got, (std::vector<float>{16, 16, 16, 16, 16, 16, 16, 16, 0}));
  EXPECT_EQ(simt::cublaslt().products, products + 1);
  EXPECT_EQ(simt::cublaslt().objects, objects);
  EXPECT_EQ(simt::cublaslt().broken, std::vector<std::string>{});
}

TEST_F(CublasLtRules, OfDescriptorsAndLayouts) {
  expect("CUBLAS_COMPUTE_32F takes alpha and beta in CUDA_R_32F", [](Arguments& with) { with.scale = CUDA_R_64F; });
  expect("an attribute's value has the attribute's size", [](Arguments& with) { with.transpose_bytes = 1; });
  expect("a real matrix is plain or transposed", [](Arguments& with) { with.transpose_a = CUBLAS_OP_C; });
  expect("the stand-in knows the descriptor's attribute",
         [](Arguments& with) { with.operation_attribute = CUBLASLT_MATMUL_DESC_POINTER_MODE; });
  expect("the leading dimension is at least the number of rows", [](Arguments& with) { with.b.stride = 7; });
  expect("a matrix has rows and columns", [](Arguments& with) { with.d.columns = 0; });
  expect("a matrix is bf16 or f32", [](Arguments& with) { with.a.type = CUDA_R_64F; });
}

TEST_F(CublasLtRules, OfSizesAndTypes) {
  expect("op(A) has as many columns as op(B) has rows", [](Arguments& with) { with.b.rows = 9; });
  expect("op(A) has as many columns as op(B) has rows", [](Arguments& with) { with.transpose_a = CUBLAS_OP_N; });
  expect("D has the rows of op(A) and the columns of op(B)", [](Arguments& with) { with.d.columns = 3; });
  expect("C has the layout of D", [](Arguments& with) { with.c.stride = 5; });
  constexpr const char* kTypes = "A and B have one data type, and D has it too, or is f32 if they are bf16";
  expect(kTypes, [](Arguments& with) { with.a.type = CUDA_R_32F; });
  expect(kTypes, [](Arguments& with) {
    with.a.type = with.b.type = CUDA_R_32F;
    with.c.type = with.d.type = CUDA_R_16BF;
  });
}

TEST_F(CublasLtRules, OfTheHeuristic) {
  constexpr const char* kAlignment = "an alignment is a power of two and at least an element";
  expect(kAlignment, [](Arguments& with) { with.alignment = 24; });
  expect(kAlignment, [](Arguments& with) { with.alignment = 2; });
  expect("split sums are added in the compute type",
         [](Arguments& with) { with.reductions = CUBLASLT_REDUCTION_SCHEME_INPLACE; });
  expect("the stand-in knows the preference's attribute",
         [](Arguments& with) { with.preference_attribute = CUBLASLT_MATMUL_PREF_SEARCH_MODE; });
  expect("at least one algorithm is requested, and there is room for it", [](Arguments& with) { with.requested = 0; });
  expect("algorithms are chosen before a graph is captured", [](Arguments& with) { with.capture_heuristic = true; });
}

TEST_F(CublasLtRules, OfTheMatricesOfAProduct) {
  expect("alpha and beta are not null", [](Arguments& with) { with.alpha = nullptr; });
  expect("A, B, C and D are not null", [](Arguments& with) { with.b_data = nullptr; });
  constexpr const char* kAligned = "a matrix is aligned as promised to the heuristic";
  expect(kAligned, [](Arguments& with) { with.a_data += 8; });
  expect(kAligned, [](Arguments& with) { with.c_data = with.d_data += 4; });
  expect("matrices are in device memory", [](Arguments& with) {
    alignas(256) static char host[256];
    with.b_data = host;
  });
  expect("matrices are in device memory", [](Arguments& with) { with.a_data += kBufferBytes - 16; });
  expect("D does not overlap A or B",
         [](Arguments& with) { with.c_data = with.d_data = const_cast<char*>(with.a_data); });
  expect("C is D or does not overlap it", [](Arguments& with) { with.c_data += 16; });
  expect("the caller chooses the algorithm", [](Arguments& with) { with.algorithm = false; });
  expect("the algorithm was found for this product", [](Arguments& with) { with.product_a.stride = 16; });
}

TEST_F(CublasLtRules, OfTheWorkspaceAndTheStream) {
  expect("the workspace is as large as the algorithm needs", [](Arguments& with) { with.workspace_bytes = 1024; });
  expect("the workspace is aligned to 256 bytes", [](Arguments& with) { with.workspace += 128; });
  expect("the workspace is aligned to 256 bytes", [](Arguments& with) { with.workspace = nullptr; });
  expect("the workspace is in device memory", [](Arguments& with) {
    alignas(256) static char host[kBufferBytes];
    with.workspace = host;
  });
  expect("one workspace serves one stream", [](Arguments& with) { with.again_on_another_stream = true; });
  expect("", [](Arguments& with) { with.capture_product = true; });
  expect("while a graph is captured, products are on a captured stream", [](Arguments& with) {
    with.capture_product = true;
    with.stream = nullptr;
  });
}

TEST_F(CublasLtRules, OfHandles) {
  expect("a handle was not created or is destroyed", [](Arguments& with) { with.handle_destroyed = true; });
  expect("a handle is used on the device it was created on", [](Arguments& with) { with.device = 1; });
  cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
  cublasLtHandle_t handle = nullptr;
  EXPECT_NE(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(simt::cublaslt().broken.back(), "a handle is not created while a graph is captured");
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(stream_, &graph);
  cudaGraphDestroy(graph);
  cublasLtMatrixLayout_t layout = nullptr;
  EXPECT_EQ(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, 1, 1, 1), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasLtMatrixLayoutDestroy(layout), CUBLAS_STATUS_SUCCESS);
  EXPECT_NE(cublasLtMatrixLayoutDestroy(layout), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(simt::cublaslt().broken.back(), "a matrix layout was not created or is destroyed");
}

// ---- The backend's calls.

class Products : public ::testing::Test {
 protected:
  ~Products() override {
    simt::cublaslt().heuristic = CUBLAS_STATUS_SUCCESS;
    simt::cublaslt().states = {CUBLAS_STATUS_SUCCESS};
  }
  static std::vector<OpCase> cases() {
    std::vector<OpCase> linear;
    for (const OpCase& op : op_cases().tests)
      if (op.op.starts_with("linear")) linear.push_back(op);
    return linear;
  }
  // Runs the linear ops and compares them with the CPU's in double.
  static void expect_right_results() {
    ASSERT_FALSE(cases().empty());
    for (const DType compute : {DType::f32, DType::bf16}) {
      const auto ops = make_cuda_ops(compute);
      for (const OpCase& op : cases()) {
        CaseRun got(op, *ops, Garbage::nan, compute), expected(op, double_ops(1), Garbage::nan, compute);
        for (CaseRun* run : {&got, &expected}) {
          run->forward();
          run->backward();
        }
        const Difference worst = worst_difference(got, expected);
        EXPECT_LE(worst.error, compute == DType::f32 ? op.tolerance : op.bf16_tolerance) << op.name << worst.where;
        for (const std::string& broken : got.broken_promises()) ADD_FAILURE() << op.name << ": " << broken;
      }
    }
  }
};

TEST_F(Products, AreChosenOnceAndLeaveNothingBehind) {
  const int64_t objects = simt::cublaslt().objects;
  {
    const auto ops = make_cuda_ops(DType::f32);
    std::vector<float> x(6, 1), w(10, 2), y(15);
    const int64_t heuristics = simt::cublaslt().heuristics, products = simt::cublaslt().products;
    for (int i = 0; i < 3; ++i)
      ops->linear_forward(Tensor(y.data(), DType::f32, {3, 5}), Tensor(x.data(), DType::f32, {3, 2}),
                          Tensor(w.data(), DType::f32, {5, 2}), Write::assign);
    EXPECT_EQ(y, std::vector<float>(15, 4));
    EXPECT_EQ(simt::cublaslt().heuristics, heuristics + 1);
    EXPECT_EQ(simt::cublaslt().products, products + 3);
    EXPECT_GT(simt::cublaslt().objects, objects);
  }
  EXPECT_EQ(simt::cublaslt().objects, objects);
}

TEST_F(Products, AreOurOwnWhereTheLibraryHasNoAlgorithm) {
  const int64_t products = simt::cublaslt().products;
  simt::cublaslt().heuristic = CUBLAS_STATUS_NOT_SUPPORTED;
  expect_right_results();
  simt::cublaslt().heuristic = CUBLAS_STATUS_SUCCESS;
  for (const auto& states : {std::vector<cublasStatus_t>{}, {CUBLAS_STATUS_NOT_SUPPORTED}}) {
    simt::cublaslt().states = states;
    expect_right_results();
  }
  EXPECT_EQ(simt::cublaslt().products, products);
}

TEST_F(Products, ThatTheLibraryRefusesForAnotherReasonAreAnError) {
  const auto ops = make_cuda_ops(DType::f32);
  std::vector<float> x(6), w(10), y(15);
  simt::cublaslt().heuristic = CUBLAS_STATUS_NOT_INITIALIZED;
  const int64_t objects = simt::cublaslt().objects;
  const std::string line = message<DeviceError>([&] {
    ops->linear_forward(Tensor(y.data(), DType::f32, {3, 5}), Tensor(x.data(), DType::f32, {3, 2}),
                        Tensor(w.data(), DType::f32, {5, 2}), Write::assign);
  });
  EXPECT_NE(line.find("cublaslt_product.cpp:"), std::string::npos) << line;
  EXPECT_NE(line.find("the stand-in for cuBLASLt"), std::string::npos) << line;
  EXPECT_EQ(simt::cublaslt().objects, objects);
}

}  // namespace
}  // namespace gptmoe
