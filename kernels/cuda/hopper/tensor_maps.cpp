#include "kernels/cuda/hopper/tensor_maps.h"

#include <cuda_runtime.h>

#include <array>

#include "base/check.h"
#include "kernels/cuda/cuda_check.h"

namespace gptmoe::cuda::hopper {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

// The driver's function, without linking to the driver's library: programs start on machines without one.
Encode find_encoder() {
  constexpr unsigned kSince = 12000;  // CUDA 12.0
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, kSince, cudaEnableDefault, &found));
  CUDA_CHECK(found == cudaDriverEntryPointSuccess ? cudaSuccess : cudaErrorInsufficientDriver);
  return reinterpret_cast<Encode>(function);
}

CUtensorMapSwizzle mode_of(SharedSwizzle swizzle) {
  switch (swizzle) {
    case SharedSwizzle::none: return CU_TENSOR_MAP_SWIZZLE_NONE;
    case SharedSwizzle::bytes_32: return CU_TENSOR_MAP_SWIZZLE_32B;
    case SharedSwizzle::bytes_64: return CU_TENSOR_MAP_SWIZZLE_64B;
    case SharedSwizzle::bytes_128: return CU_TENSOR_MAP_SWIZZLE_128B;
  }
  return CU_TENSOR_MAP_SWIZZLE_NONE;
}

template <typename Int>
std::array<Int, 5> listed(std::initializer_list<int64_t> values) {
  std::array<Int, 5> all{};
  size_t i = 0;
  for (const int64_t value : values) all.at(i++) = static_cast<Int>(value);
  return all;
}

}  // namespace

CUtensorMap tensor_map(const void* data, std::initializer_list<int64_t> sizes, std::initializer_list<int64_t> strides,
                       std::initializer_list<int64_t> box, SharedSwizzle swizzle) {
  static const Encode encode = find_encoder();
  GPTMOE_CHECK(strides.size() + 1 == sizes.size() && box.size() == sizes.size());
  CUtensorMap map;
  constexpr std::array<cuuint32_t, 5> kEveryElement = {1, 1, 1, 1, 1};
  const CUresult status =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, static_cast<cuuint32_t>(sizes.size()), const_cast<void*>(data),
             listed<cuuint64_t>(sizes).data(), listed<cuuint64_t>(strides).data(), listed<cuuint32_t>(box).data(),
             kEveryElement.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, mode_of(swizzle), CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  GPTMOE_CHECK(status == CUDA_SUCCESS, "cuTensorMapEncodeTiled: error ", static_cast<int>(status));
  return map;
}

}  // namespace gptmoe::cuda::hopper
