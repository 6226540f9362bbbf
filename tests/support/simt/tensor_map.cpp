#include "simt/tensor_map.h"

#include <algorithm>
#include <cstring>

#include "simt/runtime.h"

namespace simt {
namespace {

constexpr uint32_t kMark = 0x544D4150;

uint32_t bytes_of(CUtensorMapDataType type) {
  switch (type) {
    case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16: return 2;
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32: return 4;
    default: return 0;  // not modelled
  }
}

}  // namespace

TensorMap TensorMap::decode(const CUtensorMap& map, size_t rank) {
  TensorMap decoded;
  std::memcpy(&decoded, &map, sizeof decoded);
  if (decoded.mark != kMark) fault("a bulk copy's tensor map was never encoded");
  if (decoded.rank != rank)
    fault("a bulk copy of " + std::to_string(rank) + " dimensions with a map of rank " + std::to_string(decoded.rank));
  if (decoded.swizzle_bytes != 0 && uint32_t{decoded.box[0]} * decoded.element_bytes != decoded.swizzle_bytes)
    fault("a bulk copy's box is narrower than its swizzle, which is not simulated");
  return decoded;
}

uint32_t TensorMap::box_bytes() const {
  uint32_t bytes = element_bytes;
  for (uint32_t i = 0; i < rank; ++i) bytes *= box[i];
  return bytes;
}

template <typename Visit>
void TensorMap::for_each_element(const Place& at, Visit visit) const {
  const size_t elements = box_bytes() / element_bytes;
  for (size_t element = 0; element < elements; ++element) {
    std::byte* global = address;
    bool inside = true;
    size_t left = element;  // its place in the dimensions from i on
    for (uint32_t i = 0; i < rank; left /= box[i], ++i) {
      const int64_t index = at[i] + static_cast<int64_t>(left % box[i]);
      inside = inside && index >= 0 && static_cast<uint64_t>(index) < sizes[i];
      if (inside) global += static_cast<uint64_t>(index) * (i == 0 ? element_bytes : strides[i - 1]);
    }
    if (inside) visit(element * element_bytes, global);
  }
}

std::vector<std::byte> TensorMap::load(const Place& at) const {
  std::vector<std::byte> contents(box_bytes());
  for_each_element(
      at, [&](size_t in_box, const std::byte* global) { std::memcpy(&contents[in_box], global, element_bytes); });
  return contents;
}

void TensorMap::store(const Place& at, const std::vector<std::byte>& box_contents) const {
  for_each_element(
      at, [&](size_t in_box, std::byte* global) { std::memcpy(global, &box_contents[in_box], element_bytes); });
}

}  // namespace simt

// Returns CUDA_ERROR_INVALID_VALUE for arguments that the driver's manual forbids or that are not simulated: elements
// other than bf16 and f32, interleaved layouts, strides between elements, NaNs for elements outside.
extern "C" CUresult CUDAAPI cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank,
                                                   void* address, const cuuint64_t* sizes, const cuuint64_t* strides,
                                                   const cuuint32_t* box, const cuuint32_t* element_strides,
                                                   CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                                   CUtensorMapL2promotion, CUtensorMapFloatOOBfill fill) {
  const auto multiple = [](uint64_t value, uint64_t of) { return value % of == 0; };
  const auto bits = [](const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); };
  constexpr uint32_t kSwizzles[] = {0, 32, 64, 128};
  const uint32_t element = simt::bytes_of(type);
  if (!map || !multiple(bits(map), 64) || !address || !multiple(bits(address), 16) || element == 0 || rank < 1 ||
      rank > 5 || interleave != CU_TENSOR_MAP_INTERLEAVE_NONE || swizzle > CU_TENSOR_MAP_SWIZZLE_128B ||
      fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE)
    return CUDA_ERROR_INVALID_VALUE;
  simt::TensorMap encoded{};
  encoded.mark = simt::kMark;
  encoded.rank = rank;
  encoded.element_bytes = element;
  encoded.swizzle_bytes = kSwizzles[swizzle];
  encoded.address = static_cast<std::byte*>(address);
  for (cuuint32_t i = 0; i < rank; ++i) {
    if (sizes[i] < 1 || sizes[i] > uint64_t{1} << 32 || box[i] < 1 || box[i] > 256 || element_strides[i] != 1)
      return CUDA_ERROR_INVALID_VALUE;
    encoded.sizes[i] = sizes[i];
    encoded.box[i] = static_cast<uint16_t>(box[i]);
  }
  for (cuuint32_t i = 0; i + 1 < rank; ++i) {
    const uint64_t least = i == 0 ? sizes[0] * element : strides[i - 1] * sizes[i];
    if (!multiple(strides[i], 16) || strides[i] >= uint64_t{1} << 40 || strides[i] < least)
      return CUDA_ERROR_INVALID_VALUE;
    encoded.strides[i] = strides[i];
  }
  if (!multiple(uint64_t{box[0]} * element, 16) ||
      (encoded.swizzle_bytes != 0 && box[0] * element > encoded.swizzle_bytes))
    return CUDA_ERROR_INVALID_VALUE;
  static_assert(sizeof encoded <= sizeof *map);
  *map = CUtensorMap{};
  std::memcpy(map, &encoded, sizeof encoded);
  return CUDA_SUCCESS;
}
