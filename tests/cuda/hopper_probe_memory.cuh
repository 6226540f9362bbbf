#pragma once
// Shared by the probes of Hopper's instructions.
#include <cstdint>
#include <vector>

#include "cuda/hopper_probes.h"
#include "kernels/cuda/common.cuh"

// The GPU's compiler accepts the instructions only when it compiles for 9.0a.
#if defined(GPTMOE_SIMT) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define GPTMOE_ON_HOPPER 1
#else
#define GPTMOE_ON_HOPPER 0
#endif

namespace gptmoe::cuda {

using Bytes = std::vector<unsigned char>;

constexpr int kThreads = 128;  // a warpgroup

// A copy of the host's bytes in the GPU's memory.
class DeviceBytes {
 public:
  explicit DeviceBytes(const Bytes& content) : bytes_(content.size()) {
    CUDA_CHECK(cudaMalloc(&data_, bytes_));
    CUDA_CHECK(cudaMemcpyAsync(data_, content.data(), bytes_, cudaMemcpyHostToDevice, nullptr));
  }
  ~DeviceBytes() { cudaFree(data_); }
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  template <typename T>
  std::vector<T> read() const {
    std::vector<T> out(bytes_ / sizeof(T));
    CUDA_CHECK(cudaMemcpyAsync(out.data(), data_, bytes_, cudaMemcpyDeviceToHost, nullptr));
    CUDA_CHECK(cudaStreamSynchronize(nullptr));
    return out;
  }

 private:
  void* data_ = nullptr;
  size_t bytes_;
};

// The byte to which a swizzle of 16, 32, 64 or 128 bytes moves byte `at`. Both count from the pattern's beginning.
inline uint32_t swizzled(uint32_t at, uint32_t width) { return at ^ (at % (8 * width) >> 7) << 4; }
// The byte of an element of two bytes in rows of 128 bytes that are swizzled.
inline uint32_t by_rows(uint32_t row, uint32_t column) { return swizzled(row * 128 + column * 2, 128); }

}  // namespace gptmoe::cuda
