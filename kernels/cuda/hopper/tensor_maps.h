#pragma once
// Makes tensor maps. A tensor map describes a tensor in global memory and the size of the boxes that tensor_load() and
// tensor_store() copy.
#include <cuda.h>

#include <initializer_list>

#include "kernels/cuda/hopper/shared_swizzle.h"

namespace gptmoe::cuda::hopper {

// The map of a bf16 tensor, for tensor_load() and tensor_store(). All lists begin with the innermost dimension, whose
// elements are contiguous.
//   sizes         elements in each of 1 to 5 dimensions, at least 1
//   strides       bytes from one index to the next in each dimension but the innermost: multiples of 16
//   box           elements of a box in each dimension, at most 256. A box's innermost row has a multiple of 16 bytes,
//                 at most as many as the swizzle is wide.
// `data` is a multiple of 16. Throws BugError if the driver refuses the map, and DeviceError if the driver has no maps.
CUtensorMap tensor_map(const void* data, std::initializer_list<int64_t> sizes, std::initializer_list<int64_t> strides,
                       std::initializer_list<int64_t> box, SharedSwizzle swizzle);

}  // namespace gptmoe::cuda::hopper
