#pragma once
// Decodes the tensor maps that cuTensorMapEncodeTiled writes, and copies their boxes.
#include <cuda.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace simt {

// The contents of a CUtensorMap.
struct TensorMap {
  uint32_t mark;
  uint32_t rank, element_bytes, swizzle_bytes;
  std::byte* address;
  uint64_t sizes[5], strides[4];  // elements; bytes
  uint16_t box[5];                // elements

  // The indices of an element, the innermost dimension first.
  using Place = std::array<int, 5>;

  // Throws KernelError unless `map` was encoded and has `rank` dimensions.
  static TensorMap decode(const CUtensorMap& map, size_t rank);
  uint32_t box_bytes() const;
  // The box that begins at element `at`, row after row and without swizzle. Elements outside the tensor are zeros in
  // load(), and store() leaves them out.
  std::vector<std::byte> load(const Place& at) const;
  void store(const Place& at, const std::vector<std::byte>& box_contents) const;

 private:
  template <typename Visit>
  void for_each_element(const Place& at, Visit visit) const;
};

}  // namespace simt
