// The functions of cuBLASLt that the backend calls. Matrices are column-major.
#include "simt/cublaslt/cublaslt_stand_in.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "simt/cublaslt/product.h"
#include "simt/device_memory.h"
#include "simt/stream.h"

namespace simt {

StandInCublasLt& cublaslt() {
  static StandInCublasLt stand_in;
  return stand_in;
}

namespace {

std::mutex calls;
thread_local std::string last_message = "success";

Live<Handle> handles("handle");
Live<Operation> operations("matmul descriptor");
Live<Layout> layouts("matrix layout");
Live<Preference> preferences("preference");

// The contents of an algorithm's opaque words: the product for which it was found, the alignments that the caller
// promised, and the bytes of workspace that it needs.
struct Algorithm {
  uint64_t magic, product;
  uint32_t alignment[4];
  uint64_t workspace, number, unused[2];
};
static_assert(sizeof(Algorithm) == sizeof(cublasLtMatmulAlgo_t));
constexpr uint64_t kMagic = 0x6375626c61736c74;
constexpr uint64_t kWorkspace = 4096;  // each algorithm overwrites this many bytes

uint64_t fingerprint(const Product& product) {
  uint64_t hash = 14695981039346656037ull;
  const auto mix = [&](auto value) { hash = (hash ^ static_cast<uint64_t>(value)) * 1099511628211ull; };
  mix(product.operation.transpose_a), mix(product.operation.transpose_b), mix(product.operation.bias);
  for (const Layout& layout : {product.a, product.b, product.c, product.d})
    mix(layout.type), mix(layout.rows), mix(layout.columns), mix(layout.stride);
  return hash;
}

Product product_of(cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                   cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
  const Product product{operations.find(operation), layouts.find(a), layouts.find(b), layouts.find(c), layouts.find(d)};
  check_product(product);
  return product;
}

// Copies an attribute's value, which must have the attribute's size.
template <typename T>
void take(T& to, const void* from, size_t bytes) {
  require(from && bytes == sizeof(T), "an attribute's value has the attribute's size");
  std::memcpy(&to, from, sizeof(T));
}

void check_heuristic_preference(const Preference& preference, const Product& product) {
  require((preference.reductions & ~uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE}) == 0,
          "split sums are added in the compute type");
  const Layout* const matrices[] = {&product.a, &product.b, &product.c, &product.d};
  for (size_t i = 0; i < 4; ++i) {
    const uint32_t bytes = preference.alignment[i];
    require(std::has_single_bit(bytes) && bytes >= element_bytes(matrices[i]->type),
            "an alignment is a power of two and at least an element");
  }
}

bool overlap(const void* x, size_t x_bytes, const void* y, size_t y_bytes) {
  const auto first = reinterpret_cast<uintptr_t>(x), second = reinterpret_cast<uintptr_t>(y);
  return first < second + y_bytes && second < first + x_bytes;
}

void check_matrices(const Product& product, const Operands& operands, const Algorithm& algorithm) {
  const std::pair<const void*, Layout> matrices[] = {
      {operands.a, product.a}, {operands.b, product.b}, {operands.c, product.c}, {operands.d, product.d}};
  for (size_t i = 0; i < 4; ++i) {
    const auto& [data, layout] = matrices[i];
    require(data, "A, B, C and D are not null");
    require(reinterpret_cast<uintptr_t>(data) % algorithm.alignment[i] == 0,
            "a matrix is aligned as promised to the heuristic");
    if (device_memory_guarded())
      require(in_device_memory(data) && in_device_memory(static_cast<const char*>(data) + bytes_of(layout) - 1),
              "matrices are in device memory");
    if (i < 2) require(!overlap(data, bytes_of(layout), operands.d, bytes_of(product.d)), "D does not overlap A or B");
  }
  require(operands.c == operands.d || !overlap(operands.c, bytes_of(product.c), operands.d, bytes_of(product.d)),
          "C is D or does not overlap it");
}

void check_bias(const Product& product, const Operands& operands) {
  if (!product.operation.bias) return;
  require(operands.bias, "the epilogue has a bias");
  const size_t bytes = product.d.rows * element_bytes(product.d.type);
  require(reinterpret_cast<uintptr_t>(operands.bias) % element_bytes(product.d.type) == 0,
          "a bias is aligned to its elements");
  if (device_memory_guarded())
    require(in_device_memory(operands.bias) && in_device_memory(static_cast<const char*>(operands.bias) + bytes - 1),
            "the bias is in device memory");
  require(!overlap(operands.bias, bytes, operands.d, bytes_of(product.d)), "D does not overlap the bias");
}

// The algorithm in opaque words. It must have been found for this product.
Algorithm algorithm_of(const cublasLtMatmulAlgo_t* words, const Product& product) {
  require(words, "the caller chooses the algorithm");
  Algorithm algorithm{};
  std::memcpy(&algorithm, words, sizeof algorithm);
  require(algorithm.magic == kMagic && algorithm.product == fingerprint(product),
          "the algorithm was found for this product");
  return algorithm;
}

template <typename T>
T at(const std::vector<T>& list, uint64_t place, T otherwise) {
  return place < list.size() ? list[place] : otherwise;
}

void check_workspace(Handle& handle, const void* workspace, size_t bytes, const Algorithm& algorithm,
                     cudaStream_t stream) {
  require(bytes >= algorithm.workspace, "the workspace is as large as the algorithm needs");
  if (algorithm.workspace == 0) return;
  require(workspace && reinterpret_cast<uintptr_t>(workspace) % 256 == 0, "the workspace is aligned to 256 bytes");
  if (device_memory_guarded()) require(in_device_memory(workspace), "the workspace is in device memory");
  require(handle.streams_of_workspaces.emplace(workspace, stream).first->second == stream,
          "one workspace serves one stream");
}

void check_stream(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cudaStreamIsCapturing(stream, &status);
  require(!capturing() || status == cudaStreamCaptureStatusActive,
          "while a graph is captured, products are on a captured stream");
}

}  // namespace

cublasStatus_t answer(void (*work)(void* context), void* context) {
  const std::lock_guard lock(calls);
  try {
    work(context);
    return CUBLAS_STATUS_SUCCESS;
  } catch (const Refusal& refusal) {
    last_message = refusal.message;
    if (refusal.broken) cublaslt().broken.push_back(refusal.message);
    return refusal.status;
  }
}

}  // namespace simt

using namespace simt;

extern "C" {

const char* cublasLtGetStatusName(cublasStatus_t) { return "the stand-in for cuBLASLt"; }
const char* cublasLtGetStatusString(cublasStatus_t) { return last_message.c_str(); }

size_t cublasLtGetVersion() { return cublaslt().version; }

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  return answer([&] {
    require(!capturing(), "a handle is not created while a graph is captured");
    Handle made{};
    cudaGetDevice(&made.device);
    *handle = reinterpret_cast<cublasLtHandle_t>(handles.create(made));
  });
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  return answer([&] {
    require(!capturing(), "a handle is not destroyed while a graph is captured");
    handles.destroy(handle);
  });
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  return answer([&] { *operation = reinterpret_cast<cublasLtMatmulDesc_t>(operations.create({compute, scale})); });
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  return answer([&] { operations.destroy(operation); });
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  return answer([&] {
    Operation& set = operations.find(operation);
    const auto transposition = [&](cublasOperation_t& to) {
      int32_t transpose = 0;
      take(transpose, value, bytes);
      require(transpose == CUBLAS_OP_N || transpose == CUBLAS_OP_T, "a real matrix is plain or transposed");
      to = static_cast<cublasOperation_t>(transpose);
    };
    switch (attribute) {
      case CUBLASLT_MATMUL_DESC_TRANSA: return transposition(set.transpose_a);
      case CUBLASLT_MATMUL_DESC_TRANSB: return transposition(set.transpose_b);
      case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return take(set.bias_data, value, bytes);
      case CUBLASLT_MATMUL_DESC_EPILOGUE: {
        uint32_t epilogue = 0;
        take(epilogue, value, bytes);
        require(epilogue == CUBLASLT_EPILOGUE_DEFAULT || epilogue == CUBLASLT_EPILOGUE_BIAS,
                "the stand-in knows the epilogue");
        set.bias = epilogue == CUBLASLT_EPILOGUE_BIAS;
        return;
      }
      default: require(false, "the stand-in knows the descriptor's attribute");
    }
  });
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType_t type, uint64_t rows,
                                          uint64_t columns, int64_t stride) {
  return answer([&] {
    require(type == CUDA_R_16BF || type == CUDA_R_32F, "a matrix is bf16 or f32");
    require(rows > 0 && columns > 0, "a matrix has rows and columns");
    require(stride >= static_cast<int64_t>(rows), "the leading dimension is at least the number of rows");
    *layout = reinterpret_cast<cublasLtMatrixLayout_t>(layouts.create({type, rows, columns, stride}));
  });
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return answer([&] { layouts.destroy(layout); });
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return answer([&] { *preference = reinterpret_cast<cublasLtMatmulPreference_t>(preferences.create({})); });
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  return answer([&] { preferences.destroy(preference); });
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t bytes) {
  return answer([&] {
    Preference& set = preferences.find(preference);
    switch (attribute) {
      case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: return take(set.workspace, value, bytes);
      case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: return take(set.reductions, value, bytes);
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: return take(set.alignment[0], value, bytes);
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: return take(set.alignment[1], value, bytes);
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: return take(set.alignment[2], value, bytes);
      case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: return take(set.alignment[3], value, bytes);
      default: require(false, "the stand-in knows the preference's attribute");
    }
  });
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t* results, int* returned) {
  return answer([&] {
    require(!capturing(), "algorithms are chosen before a graph is captured");
    handles.find(handle);
    const Product product = product_of(operation, a, b, c, d);
    require(!product.operation.bias || product.operation.bias_data, "the epilogue has a bias");
    const Preference& wanted = preferences.find(preference);
    check_heuristic_preference(wanted, product);
    require(requested > 0 && results && returned, "at least one algorithm is requested, and there is room for it");
    ++cublaslt().heuristics;
    *returned = 0;
    if (cublaslt().heuristic != CUBLAS_STATUS_SUCCESS) throw Refusal{cublaslt().heuristic, "no algorithm", false};
    for (const cublasStatus_t state : cublaslt().states) {
      if (*returned == requested) break;
      cublasLtMatmulHeuristicResult_t& result = results[*returned];
      result = {};
      result.state = state;
      Algorithm algorithm{kMagic, fingerprint(product), {}, 0, static_cast<uint64_t>(*returned), {}};
      std::copy(wanted.alignment, wanted.alignment + 4, algorithm.alignment);
      algorithm.workspace = result.workspaceSize = std::min(wanted.workspace, kWorkspace);
      if (state == CUBLAS_STATUS_SUCCESS) std::memcpy(&result.algo, &algorithm, sizeof algorithm);
      ++*returned;
    }
  });
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
                                       cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t* words,
                                       cublasLtMatmulHeuristicResult_t* result) {
  return answer([&] {
    handles.find(handle);
    const Product product = product_of(operation, a, b, c, d);
    require(words && result, "there are an algorithm and room for the result");
    Algorithm algorithm{};
    std::memcpy(&algorithm, words, sizeof algorithm);
    if (algorithm.magic != kMagic || algorithm.product != fingerprint(product))
      throw Refusal{CUBLAS_STATUS_NOT_SUPPORTED, "the algorithm does not compute this product", false};
    *result = {};
    result->algo = *words;
    result->workspaceSize = algorithm.workspace;
  });
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* chosen, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  Product product;
  Operands operands;
  Algorithm algorithm{};
  double milliseconds = 0;
  const cublasStatus_t status = answer([&] {
    int device = 0;
    cudaGetDevice(&device);
    Handle& used = handles.find(handle);
    require(used.device == device, "a handle is used on the device it was created on");
    product = product_of(operation, a_layout, b_layout, c_layout, d_layout);
    require(alpha && beta, "alpha and beta are not null");
    const void* const bias = product.operation.bias ? product.operation.bias_data : nullptr;
    operands = {*static_cast<const float*>(alpha), *static_cast<const float*>(beta), a, b, c, bias, d};
    algorithm = algorithm_of(chosen, product);
    check_matrices(product, operands, algorithm);
    check_bias(product, operands);
    check_workspace(used, workspace, workspace_bytes, algorithm, stream);
    check_stream(stream);
    const cublasStatus_t result = at(cublaslt().answers, algorithm.number, CUBLAS_STATUS_SUCCESS);
    if (result != CUBLAS_STATUS_SUCCESS) throw Refusal{result, "the algorithm does not support this", false};
    ++cublaslt().products;
    cublaslt().last_algorithm = static_cast<int64_t>(algorithm.number);
    milliseconds = at(cublaslt().milliseconds, algorithm.number, 1.0);
  });
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  submit(stream, [=] {
    const DeviceAccess access;
    if (algorithm.workspace > 0) std::memset(workspace, 0xFF, algorithm.workspace);
    multiply(product, operands);
    busy_milliseconds += milliseconds;
  });
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
