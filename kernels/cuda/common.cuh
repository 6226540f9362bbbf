#pragma once
// Shared by all kernel files: launching, types, wide loads, reductions. nvcc compiles the sources for GPUs. The host's
// compiler, with GPTMOE_SIMT defined, compiles the same sources for tests/support/simt. So kernels use no CUDA features
// except those named here, in instructions.cuh and in tests/support/simt/device.h.
//
// House rules for kernels:
//   * launched by GPTMOE_LAUNCH only, on the stream of CudaKernels; offsets into tensors are int64_t
//   * shared memory is dynamic, one struct or array per kernel, obtained by shared_memory<T>()
//   * arithmetic in float whatever the storage type; every reduction in a fixed order, no float atomics
//   * warps are whole: block sizes are multiples of 32, and warp operations take all 32 lanes
#ifdef GPTMOE_SIMT
#include "simt/device.h"
#include "simt/launch.h"
#else
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#endif

#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "base/tensor.h"
#include "kernels/cuda/cuda_check.h"

namespace gptmoe {

template <>
struct DTypeOf<__nv_bfloat16> {
  static constexpr DType value = DType::bf16;
};

namespace cuda {

using bf16 = __nv_bfloat16;

// GPTMOE_UNROLL: for loops over arrays in registers, whose indices must be known at compile time. GPTMOE_NO_UNROLL: for
// loops whose unrolled copies would need too many registers.
#ifdef GPTMOE_SIMT
#define GPTMOE_UNROLL
#define GPTMOE_NO_UNROLL
#else
#define GPTMOE_UNROLL _Pragma("unroll")
#define GPTMOE_NO_UNROLL _Pragma("unroll 1")
#endif

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFFu;

template <typename Int>
__host__ __device__ constexpr Int ceil_div(Int a, std::type_identity_t<Int> b) {
  return (a + b - 1) / b;
}

// ---- Launching ---------------------------------------------------------------------------------------------------

// Identifies a launch in messages: the kernel's name and its source file, which is named after the ops.
struct LaunchSite {
  const char *kernel, *file;
  int line;
};

// Runs kernel(args...) on `stream` with `shared_bytes` of dynamic shared memory. An empty grid launches nothing.
template <typename... Params, typename... Args>
void launch_at(const LaunchSite& site, void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
               cudaStream_t stream, Args&&... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  std::tuple<Params...> params(std::forward<Args>(args)...);
  const auto* const function = reinterpret_cast<const void*>(kernel);
#ifdef GPTMOE_SIMT
  ::simt::register_kernel(kernel);  // nvcc's code does this when the program starts
#endif
  constexpr size_t kWithoutAsking = 48 * 1024;
  if (shared_bytes > kWithoutAsking)
    check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
          site.kernel, site.file, site.line);
  std::apply(
      [&](auto&... each) {
        void* pointers[] = {static_cast<void*>(&each)...};
        check(cudaLaunchKernel(function, grid, block, pointers, shared_bytes, stream), site.kernel, site.file,
              site.line);
      },
      params);
}
#define GPTMOE_LAUNCH(kernel, ...) ::gptmoe::cuda::launch_at({#kernel, __FILE__, __LINE__}, kernel, __VA_ARGS__)

// The number of blocks of `block` threads that `threads` threads need.
inline unsigned blocks_for(int64_t threads, int block) { return static_cast<unsigned>(ceil_div(threads, block)); }

// The block's dynamic shared memory as an object or an array of T.
template <typename T>
__device__ T* shared_memory() {
#ifdef GPTMOE_SIMT
  return reinterpret_cast<T*>(::simt::shared_memory());
#else
  extern __shared__ __align__(1024) unsigned char dynamic_shared_memory[];
  return reinterpret_cast<T*>(dynamic_shared_memory);
#endif
}

// ---- Types -------------------------------------------------------------------------------------------------------

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __bfloat162float(x); }
template <typename T>
__device__ T from_float(float x) {
  if constexpr (std::is_same_v<T, bf16>)
    return __float2bfloat16(x);
  else
    return x;
}

// Calls visit with a null float* or bf16*: the element type of a tensor in compute_dtype().
template <typename Visit>
void with_real(const Tensor& tensor, Visit visit) {
  if (tensor.dtype() == DType::bf16) return visit(static_cast<bf16*>(nullptr));
  GPTMOE_CHECK(tensor.dtype() == DType::f32, "a CUDA op asked for ", tensor.describe());
  visit(static_cast<float*>(nullptr));
}

// Call it before an access to kBytes bytes at once. A GPU stops the program unless the address is a multiple of kBytes;
// the simulator throws.
template <size_t kBytes>
__device__ void expect_aligned([[maybe_unused]] const void* address) {
#ifdef GPTMOE_SIMT
  GPTMOE_CHECK(reinterpret_cast<uintptr_t>(address) % kBytes == 0, "misaligned access to ", kBytes, " bytes");
#endif
}

// Tells the simulator of an access to shared memory. Where an access copies a structure, clang calls memcpy or memset,
// and does not trace that.
__device__ inline void trace_access([[maybe_unused]] const void* address, [[maybe_unused]] size_t bytes,
                                    [[maybe_unused]] bool writes) {
#if defined(GPTMOE_SIMT) && defined(__clang__)
  ::simt::trace(address, bytes, writes);
#endif
}

// N elements that are loaded and stored together. One load can be up to 16 bytes.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T element[N];

  __device__ static Pack load(const T* from) {
    expect_aligned<sizeof(Pack)>(from);
    trace_access(from, sizeof(Pack), false);
    return *reinterpret_cast<const Pack*>(from);
  }
  __device__ void store(T* to) const {
    expect_aligned<sizeof(Pack)>(to);
    trace_access(to, sizeof(Pack), true);
    *reinterpret_cast<Pack*>(to) = *this;
  }
  // Stores to global memory in one instruction. Use it where the compiler would split store(); tools/check_kernels.sh
  // detects such places.
  __device__ void store_whole(T* to) const {
#ifdef GPTMOE_SIMT
    store(to);
#else
    const size_t address = __cvta_generic_to_global(to);
    if constexpr (sizeof(Pack) == sizeof(uint4)) {
      uint4 words;
      memcpy(&words, element, sizeof words);
      asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};\n" ::"l"(address), "r"(words.x), "r"(words.y),
                   "r"(words.z), "r"(words.w)
                   : "memory");
    } else if constexpr (sizeof(Pack) == sizeof(uint2)) {
      uint2 words;
      memcpy(&words, element, sizeof words);
      asm volatile("st.global.v2.b32 [%0], {%1, %2};\n" ::"l"(address), "r"(words.x), "r"(words.y) : "memory");
    } else {
      store(to);
    }
#endif
  }
  __device__ float operator[](int i) const { return to_float(element[i]); }
  __device__ void set(int i, float value) { element[i] = from_float<T>(value); }
};

// Loads N floats. `from` is on a 16-byte boundary if N is a multiple of 4.
template <int N>
__device__ void load_floats(float (&out)[N], const float* from) {
  constexpr int kStep = N % 4 == 0 ? 4 : 1;
  GPTMOE_UNROLL
  for (int i = 0; i < N; i += kStep) {
    const auto pack = Pack<float, kStep>::load(from + i);
    for (int j = 0; j < kStep; ++j) out[i + j] = pack.element[j];
  }
}

// Calls visit with std::integral_constant<int, N>. N is 16 / sizeof(T) if the rows' `width` is a multiple of that and
// all tensors start on 16-byte boundaries. Otherwise N is 1.
template <typename T, typename Visit, typename... Pointers>
void with_pack(int64_t width, Visit visit, const Pointers*... tensors) {
  constexpr int kWide = 16 / sizeof(T);
  const bool aligned = (... && (reinterpret_cast<uintptr_t>(tensors) % 16 == 0));
  if (width % kWide == 0 && aligned)
    visit(std::integral_constant<int, kWide>{});
  else
    visit(std::integral_constant<int, 1>{});
}

// ---- Reductions, in an order that depends only on the block size -------------------------------------------------

__device__ inline float warp_sum(float x) {
  for (int bits = kWarp / 2; bits > 0; bits /= 2) x += __shfl_xor_sync(kAllLanes, x, bits);
  return x;
}
__device__ inline float warp_max(float x) {
  for (int bits = kWarp / 2; bits > 0; bits /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, bits));
  return x;
}

constexpr int kMaxWarps = 32;  // most warps of a block

// Returns the sum of x over the block to every thread. `partials`: kMaxWarps floats of shared memory, free again on
// return.
__device__ inline float block_sum(float x, float* partials) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  x = warp_sum(x);
  if (lane == 0) partials[warp] = x;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  x = warp_sum(lane < warps ? partials[lane] : 0.0f);
  __syncthreads();
  return x;
}

}  // namespace cuda
}  // namespace gptmoe
