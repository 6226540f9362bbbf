#pragma once
// A non-owning view of a contiguous row-major array: pointer, dtype, up to five sizes. Copying a Tensor copies the
// view. By convention functions take outputs first and do not write through a `const Tensor&` input.
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/dtype.h"

namespace gptmoe {

class Tensor {
 public:
  static constexpr int kMaxRank = 5;

  // An absent tensor: present() is false. Absent optional operands are passed this way.
  Tensor() = default;
  Tensor(void* data, DType dtype, std::initializer_list<int64_t> sizes)
      : data_(data), dtype_(dtype), rank_(static_cast<int>(sizes.size())) {
    GPTMOE_CHECK(rank_ <= kMaxRank);
    int i = 0;
    for (int64_t size : sizes) sizes_[i++] = size;
    for (int64_t size : sizes) GPTMOE_CHECK(size >= 0, "negative size in ", describe());
  }

  bool present() const { return rank_ >= 0; }
  DType dtype() const { return dtype_; }
  int rank() const { return rank_; }
  int64_t size(int i) const {
    GPTMOE_CHECK(i >= 0 && i < rank_, "dimension ", i, " of ", describe());
    return sizes_[i];
  }
  int64_t count() const {
    int64_t n = present() ? 1 : 0;
    for (int i = 0; i < rank_; ++i) n *= sizes_[i];
    return n;
  }
  // Elements per index of the first dimension.
  int64_t row_count() const {
    int64_t n = 1;
    for (int i = 1; i < rank_; ++i) n *= sizes_[i];
    return n;
  }
  int64_t bytes() const { return count() * dtype_bytes(dtype_); }
  void* data() const { return data_; }

  // The elements as an array of T. Throws BugError if they have another type.
  template <typename T>
  T* as() const {
    GPTMOE_CHECK(DTypeOf<T>::value == dtype_, "asked for ", dtype_name(DTypeOf<T>::value), " of ", describe());
    return static_cast<T*>(data_);
  }

  // The same elements with other sizes.
  Tensor view(std::initializer_list<int64_t> sizes) const {
    Tensor out(data_, dtype_, sizes);
    GPTMOE_CHECK(out.count() == count(), out.describe(), " as a view of ", describe());
    return out;
  }
  // Rows [first, first + count) of the first dimension.
  Tensor rows(int64_t first, int64_t count) const {
    GPTMOE_CHECK(rank_ >= 1 && first >= 0 && count >= 0 && first <= sizes_[0] - count, "rows ", first, "+", count,
                 " of ", describe());
    Tensor out = *this;
    out.sizes_[0] = count;
    if (data_) out.data_ = static_cast<char*>(data_) + first * row_count() * dtype_bytes(dtype_);
    return out;
  }

  bool has_sizes(std::initializer_list<int64_t> sizes) const {
    if (static_cast<int>(sizes.size()) != rank_) return false;
    int i = 0;
    for (int64_t size : sizes)
      if (sizes_[i++] != size) return false;
    return true;
  }
  // For messages: "f32 (2048, 128)".
  std::string describe() const {
    if (!present()) return "absent tensor";
    std::string out = dtype_name(dtype_);
    out += " (";
    for (int i = 0; i < rank_; ++i) out += (i ? ", " : "") + std::to_string(sizes_[i]);
    return out + ")";
  }

 private:
  void* data_ = nullptr;
  DType dtype_ = DType::f32;
  int rank_ = -1;
  std::array<int64_t, kMaxRank> sizes_{};
};

}  // namespace gptmoe
