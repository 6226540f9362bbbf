#pragma once
// A tensor in a backend's memory whose elements the host can read.
#include <vector>

#include "kernels/ops.h"

namespace gptmoe {

class DeviceTensor {
 public:
  DeviceTensor(Ops& ops, DType dtype, std::initializer_list<int64_t> sizes)
      : memory_(ops.memory()),
        bytes_(Tensor(nullptr, dtype, sizes).bytes()),
        tensor_(memory_.allocate(bytes_), dtype, sizes) {}
  DeviceTensor(Ops& ops, DType dtype, std::initializer_list<int64_t> sizes, const std::vector<float>& values)
      : DeviceTensor(ops, dtype, sizes) {
    upload_floats(memory_, tensor_, values.data());
  }
  DeviceTensor(Ops& ops, const std::vector<int32_t>& ids) : DeviceTensor(ops, DType::i32, {std::ssize(ids)}) {
    memory_.upload(tensor_, ids.data());
  }
  DeviceTensor(const DeviceTensor&) = delete;
  DeviceTensor& operator=(const DeviceTensor&) = delete;
  ~DeviceTensor() { memory_.release(tensor_.data(), bytes_); }

  operator const Tensor&() const { return tensor_; }
  Tensor rows(int64_t begin, int64_t count) const { return tensor_.rows(begin, count); }
  std::vector<double> values() const { return download_values(memory_, tensor_); }
  std::vector<int32_t> ids() const {
    std::vector<int32_t> out(static_cast<size_t>(tensor_.count()));
    memory_.download(out.data(), tensor_);
    return out;
  }

 private:
  Memory& memory_;
  int64_t bytes_;
  Tensor tensor_;
};

}  // namespace gptmoe
