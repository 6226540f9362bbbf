#pragma once
// Tensor maps: what cuTensorMapEncodeTiled writes, and the boxes of two-dimensional maps.
#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace simt {

// The contents of a CUtensorMap.
struct TensorMap {
  uint32_t mark;
  uint32_t rank, element_bytes, swizzle_bytes;
  std::byte* address;
  uint64_t sizes[5], strides[4];  // elements; bytes
  uint16_t box[5];                // elements

  // Throws KernelError unless `map` was encoded and has two dimensions.
  static TensorMap decode(const CUtensorMap& map);
  uint32_t box_bytes() const { return uint32_t{box[0]} * box[1] * element_bytes; }
  // The box that begins at element (x, y), row after row and without swizzle. Elements outside the tensor are zeros in
  // load(), and store() leaves them out.
  std::vector<std::byte> load(int x, int y) const;
  void store(int x, int y, const std::vector<std::byte>& box_contents) const;

 private:
  template <typename Visit>
  void for_each_element(int x, int y, Visit visit) const;
};

}  // namespace simt
