// The LM head with cross-entropy, M rows of logits at a time. One matrix product writes the logits. One kernel computes
// the losses and overwrites the logits with their gradient. Two matrix products propagate the gradient to x and w.
//
// At the paper's V = 128,256 and C = 1024 the three products are 0.79 GFLOP per token, 13 TFLOP for 16k tokens (16 ms
// at 800 TFLOP/s); the kernel reads and writes 2 bytes per logit, 8.4 GB for 16k tokens (2.0 ms at 4.3 TB/s).
#include <algorithm>

#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/instructions.cuh"
#include "kernels/cuda/matmul.h"

namespace gptmoe::cuda {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kAtOnce = 4;  // packs that a thread reads at once, so that their loads overlap

// e^x for x <= 0.
__device__ float exp_approximate(float x) { return exp2_approximate(x * 1.4426950408889634f); }

// A Pack that stays packed in registers until it is used. The compiler would unpack a Pack early, and then each 16-bit
// element would take a whole register.
template <typename T, int N>
class WaitingPack {
 public:
  __device__ static WaitingPack load(const T* from) {
    WaitingPack waiting;
    expect_aligned<sizeof(Words)>(from);
    waiting.words_ = *reinterpret_cast<const Words*>(from);
    return waiting;
  }
  __device__ Pack<T, N> unpack() const {
    Words words = words_;
    hide(words);
    Pack<T, N> pack;
    memcpy(&pack, &words, sizeof pack);
    return pack;
  }

 private:
  using Words = std::conditional_t<sizeof(Pack<T, N>) == sizeof(uint4), uint4, T>;
  static_assert(sizeof(Words) == sizeof(Pack<T, N>));

  // Makes the words look new to the compiler, so that each unpack() unpacks again.
  __device__ static void hide(T&) {}
  __device__ static void hide([[maybe_unused]] uint4& words) {
#ifndef GPTMOE_SIMT
    asm volatile("" : "+r"(words.x), "+r"(words.y), "+r"(words.z), "+r"(words.w));
#endif
  }

  Words words_;
};

// Up to kAtOnce packs of a row: pack `first` and every `step`-th one after it, up to the end of the row.
template <typename T, int N>
class Batch {
 public:
  __device__ Batch(const T* row, int first, int step, int packs) : step_(step), left_(packs - first) {
    GPTMOE_UNROLL
    for (int j = 0; j < kAtOnce; ++j)
      if (j * step_ < left_) packs_[j] = WaitingPack<T, N>::load(row + static_cast<int64_t>(first + j * step) * N);
  }
  // Calls visit(j, pack) for each pack.
  template <typename Visit>
  __device__ void each(Visit visit) const {
    GPTMOE_UNROLL
    for (int j = 0; j < kAtOnce; ++j)
      if (j * step_ < left_) visit(j, packs_[j].unpack());
  }

 private:
  WaitingPack<T, N> packs_[kAtOnce];
  int step_, left_;
};

// The soft-cap: cap * tanh(x / cap), or x itself without kCapped.
template <bool kCapped>
struct SoftCap {
  float cap, exponent;  // exponent = 2 / (cap * ln 2)

  explicit SoftCap(float cap) : cap(cap), exponent(2 * 1.4426950408889634f / cap) {}
  __device__ float operator()(float x) const {
    if constexpr (kCapped) return cap * (1.0f - 2.0f / (1.0f + exp2_approximate(exponent * x)));
    return x;
  }
  // The derivative, from the capped value.
  __device__ float slope(float capped) const {
    if constexpr (!kCapped) return 1;
    const float tanh = capped / cap;
    return 1.0f - tanh * tanh;
  }
};

// A running maximum and the sum of e^(x - maximum) so far (Milakov & Gimelshein 2018).
struct OnlineSum {
  float max = -1e30f, sum = 0;  // finite, so that minus infinity minus the maximum is not NaN

  template <typename T, int N, bool kCapped>
  __device__ void add(const Batch<T, N>& batch, const SoftCap<kCapped>& cap) {
    float largest = max;
    batch.each([&](int, const auto& x) {
      for (int i = 0; i < N; ++i) largest = fmaxf(largest, cap(x[i]));
    });
    sum *= exp_approximate(max - largest);
    batch.each([&](int, const auto& x) {
      for (int i = 0; i < N; ++i) sum += exp_approximate(cap(x[i]) - largest);
    });
    max = largest;
  }
};

__device__ float max_of_block(float x, float* shared) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  x = warp_max(x);
  if (lane == 0) shared[warp] = x;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  x = warp_max(lane < warps ? shared[lane] : -INFINITY);
  __syncthreads();
  return x;
}

struct LossFactors {
  float scale, z_loss;
};

// With z = cap(row): lses[n] = logsumexp(z) if lses is not null, losses[n] = logsumexp(z) - z[target]. With kBackward,
// also row = the gradient of scale * (losses[n] + z_loss * logsumexp(z)^2). One block per row, in which a thread has
// every blockDim-th pack. With kBackward it keeps the first kAtOnce of them in registers and the next `kept` in shared
// memory. Later ones are read again, backwards, because what was read last is most likely still in cache.
template <typename T, int N, bool kBackward, bool kCapped>
__global__ void __launch_bounds__(kMaxThreads, 1)
    cross_entropy_kernel(float* losses, float* lses, T* logits_MV, const int32_t* targets, int64_t V,
                         LossFactors factors, SoftCap<kCapped> cap, int kept) {
  using Logits = Pack<T, N>;
  auto* partials = shared_memory<float>();  // kMaxWarps, then the logits that are kept
  T* const row = logits_MV + static_cast<int64_t>(blockIdx.x) * V;
  const int packs = static_cast<int>(V / N);
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  T* const kept_logits = reinterpret_cast<T*>(partials + kMaxWarps) + thread * N;

  OnlineSum own;
  const Batch<T, N> first(row, thread, threads, packs);
  const int32_t target = targets[blockIdx.x];
  const float target_logit = cap(to_float(row[target]));
  own.add(first, cap);
  int i = kAtOnce;  // counts the packs of this thread
  for (; thread + i * threads < packs; i += kAtOnce) {
    const Batch<T, N> several(row, thread + i * threads, threads, packs);
    own.add(several, cap);
    if constexpr (kBackward)
      several.each([&](int j, const Logits& x) {
        if (i + j < kAtOnce + kept) x.store(kept_logits + (i + j - kAtOnce) * threads * N);
      });
  }
  const float max = max_of_block(own.max, partials);
  const float sum = block_sum(own.sum * exp_approximate(own.max - max), partials);
  const float lse = max + logf(sum);
  if (thread == 0) losses[blockIdx.x] = lse - target_logit;
  if (thread == 0 && lses) lses[blockIdx.x] = lse;
  if constexpr (kBackward) {
    const float factor = factors.scale * (1.0f + 2.0f * factors.z_loss * lse) / sum;
    const auto differentiate = [&](int at, Logits x) {
      for (int i = 0; i < N; ++i) {
        const float z = cap(x[i]), p = exp_approximate(z - max) * factor;
        x.set(i, (at * N + i == target ? p - factors.scale : p) * cap.slope(z));
      }
      x.store_whole(row + static_cast<int64_t>(at) * N);
    };
    while (i > kAtOnce + kept) {
      const int at = thread + --i * threads;
      if (at < packs) differentiate(at, Logits::load(row + static_cast<int64_t>(at) * N));
    }
    GPTMOE_NO_UNROLL
    while (i > kAtOnce) {
      const int at = thread + --i * threads;
      if (at < packs) differentiate(at, Logits::load(kept_logits + (i - kAtOnce) * threads * N));
    }
    first.each([&](int j, const Logits& x) { differentiate(thread + j * threads, x); });
  }
}

// How a block handles a row of `packs` packs of 16 bytes or less.
struct RowPlan {
  int threads, kept;  // packs that each thread keeps in shared memory
  size_t shared_bytes;
};

// Short rows get just enough threads to keep them in registers. Up to 512 threads, two blocks share a multiprocessor,
// and one can read while the other writes. Longer rows get a multiprocessor to themselves, to keep more logits.
RowPlan plan_row(int64_t packs, size_t pack_bytes, bool backward, size_t multiprocessor_bytes) {
  constexpr size_t kPartials = kMaxWarps * sizeof(float), kReserved = 1024;  // the driver's part of shared memory
  const auto keep = [&](int threads, size_t bytes) {
    const auto wanted = std::max<int64_t>(0, ceil_div(packs, threads) - kAtOnce);
    const auto fit = static_cast<int64_t>((bytes - kPartials) / (static_cast<size_t>(threads) * pack_bytes));
    return backward ? static_cast<int>(std::min(wanted, fit)) : 0;
  };
  const auto plan = [&](int threads, int kept) {
    return RowPlan{threads, kept, kPartials + static_cast<size_t>(threads * kept) * pack_bytes};
  };
  constexpr int kHalf = kMaxThreads / 2;
  if (packs <= kAtOnce * kHalf) return plan(static_cast<int>(ceil_div(ceil_div(packs, kAtOnce), kWarp) * kWarp), 0);
  const int kept = keep(kHalf, multiprocessor_bytes / 2 - kReserved);
  if (!backward || packs <= int64_t{kAtOnce + kept} * kHalf) return plan(kHalf, kept);
  return plan(kMaxThreads, keep(kMaxThreads, multiprocessor_bytes - kReserved));
}

template <bool kBackward, bool kCapped>
void cross_entropy(cudaStream_t stream, float* losses, float* lses, const Tensor& logits_MV, const int32_t* targets,
                   const LossFactors& factors, float cap, size_t multiprocessor_bytes) {
  const int64_t rows = logits_MV.size(0), V = logits_MV.size(1);
  GPTMOE_CHECK(V <= 1 << 30, V, " logits");
  with_real(logits_MV, [&]<typename T>(T*) {
    T* logits = logits_MV.as<T>();
    with_pack<T>(
        V,
        [&]<int N>(std::integral_constant<int, N>) {
          const RowPlan plan = plan_row(V / N, sizeof(Pack<T, N>), kBackward, multiprocessor_bytes);
          GPTMOE_LAUNCH((cross_entropy_kernel<T, N, kBackward, kCapped>), static_cast<unsigned>(rows), plan.threads,
                        plan.shared_bytes, stream, losses, lses, logits, targets, V, factors, SoftCap<kCapped>(cap),
                        plan.kept);
        },
        logits);
  });
}

template <typename T, int N>
__global__ void softcap_kernel(T* logits, int64_t count, SoftCap<true> cap) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (at >= count) return;
  auto pack = Pack<T, N>::load(logits + at);
  for (int i = 0; i < N; ++i) pack.set(i, cap(pack[i]));
  pack.store(logits + at);
}

}  // namespace

void CudaKernels::softcap(const Tensor& logits_NV, double cap) {
  constexpr int kThreads = 256;
  const int64_t count = logits_NV.count();
  with_real(logits_NV, [&]<typename T>(T*) {
    T* logits = logits_NV.as<T>();
    with_pack<T>(
        count,
        [&]<int N>(std::integral_constant<int, N>) {
          GPTMOE_LAUNCH((softcap_kernel<T, N>), blocks_for(count / N, kThreads), kThreads, 0, stream_, logits, count,
                        SoftCap<true>(static_cast<float>(cap)));
        },
        logits);
  });
}

void CudaKernels::lm_head_loss(const Tensor& losses_N, const Tensor& lse_N, const Tensor& dx_NC, const Tensor& dw_VC,
                               const Tensor& x_NC, const Tensor& w_VC, const Tensor& targets_N, double loss_scale,
                               const Tensor& logits_MV, double z_loss, double cap) {
  const int64_t N = x_NC.size(0), M = logits_MV.size(0);
  const bool backward = dx_NC.present();
  float* losses = losses_N.as<float>();
  const int32_t* targets = targets_N.as<int32_t>();
  float* lses = lse_N.present() ? lse_N.as<float>() : nullptr;
  const LossFactors factors{static_cast<float>(loss_scale), static_cast<float>(z_loss)};
  const auto run = [&](auto kBackward, const Tensor& logits, int64_t first) {
    const auto run_capped = [&](auto kCapped) {
      cross_entropy<kBackward, kCapped>(stream_, losses + first, lses ? lses + first : nullptr, logits, targets + first,
                                        factors, static_cast<float>(cap), shared_bytes_);
    };
    cap > 0 ? run_capped(std::true_type{}) : run_capped(std::false_type{});
  };
  for (int64_t first = 0; first < N; first += M) {
    const int64_t rows = std::min(M, N - first);
    const Tensor x = x_NC.rows(first, rows), logits = logits_MV.rows(0, rows);
    matmul_->run(Order::nt, logits, x, w_VC, Write::assign);
    if (!backward) {
      run(std::false_type{}, logits, first);
      continue;
    }
    run(std::true_type{}, logits, first);
    matmul_->run(Order::nn, dx_NC.rows(first, rows), logits, w_VC, Write::assign);
    matmul_->run(Order::tn, dw_VC, logits, x, Write::add);
  }
}

}  // namespace gptmoe::cuda
