#pragma once
// For tests of kernels/cuda/hopper: tensor maps, kernels of one block that must fail, and each timing of the simulator.
#include <cuda.h>
#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>

#include "simt/runtime.h"

namespace gptmoe::cuda {

// A map of a bf16 tensor with `rows` rows of `columns` elements, `stride` bytes apart.
inline CUtensorMap hopper_map(void* tensor, uint64_t columns, uint64_t rows, uint64_t stride, uint32_t box_columns,
                              uint32_t box_rows, CUtensorMapSwizzle swizzle) {
  CUtensorMap map;
  const cuuint64_t sizes[] = {columns, rows}, strides[] = {stride};
  const cuuint32_t box[] = {box_columns, box_rows}, steps[] = {1, 1};
  if (cuTensorMapEncodeTiled(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, tensor, sizes, strides, box, steps,
                             CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_NONE,
                             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) != CUDA_SUCCESS)
    throw std::invalid_argument("no tensor map");
  return map;
}

// What the simulator finds wrong in `action`, or "nothing".
inline std::string hopper_fault(const std::function<void()>& action) {
  try {
    action();
  } catch (const simt::KernelError& error) {
    return error.what();
  }
  return "nothing";
}

// The same for a block of `threads` threads, each of which runs `body` on the block's shared memory.
inline std::string hopper_fault(unsigned threads, size_t shared_bytes, const std::function<void(char*)>& body) {
  return hopper_fault([&] {
    simt::launch({1}, {threads}, shared_bytes, [&] { body(reinterpret_cast<char*>(simt::shared_memory())); });
  });
}
inline void expect_fault(const std::string& found, const std::string& expected) {
  EXPECT_NE(found.find(expected), std::string::npos) << found;
}

// A test of each of kHopperTimings: when bulk copies and products take place.
class HopperTiming : public ::testing::TestWithParam<simt::Timing> {
 protected:
  HopperTiming() { simt::set_timing(GetParam()); }
  ~HopperTiming() override { simt::set_timing(simt::Timing::late); }
};
inline const auto kHopperTimings =
    ::testing::Values(simt::Timing::late, simt::Timing::early, simt::Timing::interleaved);

}  // namespace gptmoe::cuda
