// Chooses how each product is computed, once, and computes it.
#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <memory>
#include <optional>

#include "kernels/cuda/cublas_check.h"
#include "kernels/cuda/cublaslt_product.h"
#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/matmul_plain.h"
#include "kernels/cuda_limits.h"

namespace gptmoe::cuda {
namespace {

using Algorithm = cublasLtMatmulAlgo_t;

// How many algorithms are timed, and how often each.
constexpr int kAlgorithms = 8, kRuns = 4;

// NVIDIA allows programs to store an algorithm's words and to use them again with the same version of the library.
std::string to_text(const Algorithm& algorithm) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string digits;
  for (const uint8_t byte : std::bit_cast<std::array<uint8_t, sizeof(Algorithm)>>(algorithm))
    digits += {kDigits[byte >> 4], kDigits[byte & 15]};
  return digits;
}

std::optional<Algorithm> to_algorithm(const std::string& digits) {
  std::array<uint8_t, sizeof(Algorithm)> bytes{};
  if (digits.size() != 2 * bytes.size() || digits.find_first_not_of("0123456789abcdef") != std::string::npos)
    return std::nullopt;
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<uint8_t>(std::stoi(digits.substr(2 * i, 2), nullptr, 16));
  return std::bit_cast<Algorithm>(bytes);
}

// The part of a choice's key that is the same for all products of a process.
std::string describe_machine() {
  int device = 0, driver = 0;
  cudaDeviceProp properties{};
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  CUDA_CHECK(cudaDriverGetVersion(&driver));
  return text(properties.name, ", ", properties.multiProcessorCount, " multiprocessors, driver ", driver, ", cuBLASLt ",
              CUBLASLT(cublasLtGetVersion)(), ": ");
}

// Device memory, if there is enough.
struct Free {
  void operator()(void* memory) const { cudaFree(memory); }
};
using DeviceBytes = std::unique_ptr<void, Free>;
DeviceBytes try_allocate(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // so that no later check finds this error
    return nullptr;
  }
  CUDA_CHECK(status);
  return DeviceBytes(memory);
}

class Stopwatch {
 public:
  Stopwatch() {
    for (cudaEvent_t& event : events_) CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDefault));
  }
  ~Stopwatch() {
    for (const cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  template <typename Work>
  float milliseconds(cudaStream_t stream, const Work& work) {
    CUDA_CHECK(cudaEventRecord(events_[0], stream));
    work();
    CUDA_CHECK(cudaEventRecord(events_[1], stream));
    CUDA_CHECK(cudaEventSynchronize(events_[1]));
    float time = 0;
    CUDA_CHECK(cudaEventElapsedTime(&time, events_[0], events_[1]));
    return time;
  }

 private:
  cudaEvent_t events_[2] = {};
};

}  // namespace

struct Matmul::State {
  struct Plan {
    CublasLtProduct product;
    std::optional<Algorithm> algorithm = {};  // absent: the library cannot compute it, so our own kernel does
  };
  struct Operands {
    const Tensor &c, &a, &b, &bias;
  };

  cudaStream_t stream;
  MatmulTuning tuning;
  ProductChoices choices;
  Owned<cublasLtHandle_t> handle = nullptr;
  void* workspace = nullptr;
  std::string machine = {};
  std::map<ProductKey, Plan> plans = {};
  bool told_plain = false;

  State(cudaStream_t order_of, MatmulTuning how) : stream(order_of), tuning(how), choices(std::move(how.file)) {
    cublasLtHandle_t made = nullptr;
    CUBLAS_CHECK(CUBLASLT(cublasLtCreate)(&made));
    handle.reset(made);
    machine = describe_machine();
    CUDA_CHECK(cudaMalloc(&workspace, kMatmulWorkspaceBytes));
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { cudaFree(workspace); }

  Plan& plan_of(const ProductKey& key, const Operands& x) {
    const auto found = plans.find(key);
    if (found != plans.end()) return found->second;
    Plan plan{CublasLtProduct(handle.get(), key, x.bias)};
    plan.algorithm = choose(key, plan.product, x);
    return plans.emplace(key, std::move(plan)).first->second;
  }

  std::optional<Algorithm> choose(const ProductKey& key, const CublasLtProduct& product, const Operands& x) {
    const std::vector<Algorithm> proposed = product.algorithms(kAlgorithms);
    if (proposed.empty()) return std::nullopt;
    if (proposed.size() == 1 || key.flops() < tuning.least_flops) return proposed.front();
    // Waits before the files are locked, since collectives in any stream may wait for ranks that wait for the locks.
    CUDA_CHECK(cudaDeviceSynchronize());
    const std::string choice = choices.get(
        machine + key.describe(),
        [&](const std::string& digits) {
          const std::optional<Algorithm> algorithm = to_algorithm(digits);
          return algorithm && product.accepts(*algorithm);
        },
        [&] { return fastest(key, product, proposed, x); }, [&] { return to_text(proposed.front()); });
    return to_algorithm(choice);
  }

  // None if there is no memory to time in, or if the product supports none of the algorithms.
  std::optional<std::string> fastest(const ProductKey& key, const CublasLtProduct& product,
                                     const std::vector<Algorithm>& proposed, const Operands& x) {
    DeviceBytes elsewhere;  // with Write::add, since timed runs must not change c
    if (key.write == Write::add && !(elsewhere = try_allocate(static_cast<size_t>(x.c.bytes())))) return std::nullopt;
    void* const to = elsewhere ? elsewhere.get() : x.c.data();
    Stopwatch stopwatch;
    std::optional<std::string> best;
    float best_time = 0;
    for (const Algorithm& algorithm : proposed) {
      const auto run = [&] { return product.run(stream, workspace, algorithm, to, x.c, x.a, x.b, x.bias); };
      if (!run()) continue;  // also loads the kernel
      float time = stopwatch.milliseconds(stream, run);
      for (int i = 1; i < kRuns; ++i) time = std::min(time, stopwatch.milliseconds(stream, run));
      if (!best || time < best_time) best = to_text(algorithm), best_time = time;
    }
    return best;
  }
};

Matmul::Matmul(cudaStream_t stream, MatmulTuning tuning) : state_(std::make_unique<State>(stream, std::move(tuning))) {}
Matmul::~Matmul() = default;

void Matmul::keep_choices(const std::filesystem::path& file) { state_->choices.keep_in(file); }
std::vector<std::string> Matmul::take_notes() { return state_->choices.take_notes(); }

void Matmul::run(Order order, const Tensor& c, const Tensor& a, const Tensor& b, Write write, const Tensor& bias) {
  const DType in = a.dtype(), out = c.dtype();
  GPTMOE_CHECK(b.dtype() == in && ((in == DType::f32 && out == DType::f32) ||
                                   (in == DType::bf16 && (out == DType::bf16 || out == DType::f32))),
               c.describe(), " from ", a.describe(), " and ", b.describe());
  GPTMOE_CHECK(!bias.present() || (bias.has_sizes({c.size(1)}) && bias.dtype() == out), bias.describe());
  if (c.count() == 0) return;
  const ProductKey key(order, c, a, b, bias, write);
  State::Plan& plan = state_->plan_of(key, {c, a, b, bias});
  if (plan.algorithm && plan.product.run(state_->stream, state_->workspace, *plan.algorithm, c.data(), c, a, b, bias))
    return;
  plan.algorithm.reset();
  if (!state_->told_plain)
    state_->choices.note(
        text("cuBLASLt cannot compute some products (", key.describe(), "), so a slower kernel of our own does"));
  state_->told_plain = true;
  plain_product(state_->stream, order, c, a, b, write, bias);
}

}  // namespace gptmoe::cuda
