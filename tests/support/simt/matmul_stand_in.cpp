// Dense matrix products by plain loops, summed in f32. Tests link this in place of matmul_cublaslt.cpp.
#include <cuda_bf16.h>

#include <vector>

#include "kernels/cuda/matmul.h"
#include "simt/device_memory.h"
#include "simt/stream.h"

namespace gptmoe::cuda {
namespace {

float element(const Tensor& x, int64_t i) {
  if (x.dtype() == DType::bf16) return __bfloat162float(static_cast<const __nv_bfloat16*>(x.data())[i]);
  return x.as<float>()[i];
}

void set_element(const Tensor& x, int64_t i, float value) {
  if (x.dtype() == DType::bf16)
    static_cast<__nv_bfloat16*>(x.data())[i] = __float2bfloat16(value);
  else
    x.as<float>()[i] = value;
}

std::vector<float> elements(const Tensor& x) {
  std::vector<float> out(static_cast<size_t>(x.count()));
  for (size_t i = 0; i < out.size(); ++i) out[i] = element(x, static_cast<int64_t>(i));
  return out;
}

void multiply(Order order, const Tensor& c, const Tensor& a, const Tensor& b, Write write) {
  const auto [M, N, K] = product_sizes(order, c, a, b);
  const simt::DeviceAccess access;
  const std::vector<float> left = elements(a), right = elements(b);
  for (int64_t m = 0; m < M; ++m)
    for (int64_t n = 0; n < N; ++n) {
      float sum = 0;
      for (int64_t k = 0; k < K; ++k)
        sum += left[static_cast<size_t>(order == Order::tn ? k * M + m : m * K + k)] *
               right[static_cast<size_t>(order == Order::nt ? n * K + k : k * N + n)];
      set_element(c, m * N + n, write == Write::add ? element(c, m * N + n) + sum : sum);
    }
}

}  // namespace

struct Matmul::State {
  cudaStream_t stream;
};
Matmul::Matmul(cudaStream_t stream) : state_(std::make_unique<State>(State{stream})) {}
Matmul::~Matmul() = default;

void Matmul::run(Order order, const Tensor& c, const Tensor& a, const Tensor& b, Write write) {
  product_sizes(order, c, a, b);
  GPTMOE_CHECK(a.dtype() == b.dtype() && (c.dtype() == a.dtype() || c.dtype() == DType::f32), c.describe(), " from ",
               a.describe(), " and ", b.describe());
  simt::submit(state_->stream, [=] { multiply(order, c, a, b, write); });
}

}  // namespace gptmoe::cuda
