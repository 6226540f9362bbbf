#pragma once
// Everything that the model computes, one method per op, on any device.
//
// The ops are declared in kernels/dense_ops.inc, moe_ops.inc and optimizer_ops.inc, with their formulas, operands and
// sources. The word before an operand says how the op uses it and what type it has.
//   Use: Out is overwritten (=), Add is added to (+=), Update is read and overwritten, and In is read. The contents of
//   Scratch are undefined before and after.
//   Type: without one, an operand is real, that is, compute_dtype(). Stat is statistics_dtype(), for routers, losses,
//   norms' statistics, gradients of parameters, and the optimizer. Float is real or stat. I32 is for ids, I64 for
//   offsets, and U8 for codes.
// Optional operands may be absent (Tensor{}). Capitals after the last underscore are the shape (op_declaration.h):
//   B sequences in a micro-batch, T tokens in a sequence, N = B*T tokens, C model width, L layers, H query heads,
//   G key/value heads, S = H + 2G packed heads (queries, keys, values), D head size, Q = H*D, J = G*D, P = D/2 pairs of
//   a head, X positions of RoPE's tables or of a cache, V vocabulary, M rows of logits held at a time, E experts, K
//   experts per token, F hidden width of an FFN, U width of its first product (2F with SwiGLU, else F), R = N*K routed
//   rows, I and O input and output width of a linear layer, W routing values per token (or per layer, where L comes
//   first)
//
// For every op:
//   * Tensors are contiguous. Outputs come first and share no memory with other operands, unless the op says so.
//   * Trailing arguments may be left out: absent tensors, 0, Write::assign.
//   * A wrong shape, type or alias throws BugError. Values (token ids, offsets) are trusted: their producers check
//   them.
//   * Deterministic: the same inputs give the same bits on the same machine, build and thread count.
#include <tuple>
#include <utility>

#include "kernels/op_call.h"

namespace gptmoe {

class Ops final {
 public:
  explicit Ops(std::shared_ptr<Kernels> kernels) : kernels_(std::move(kernels)) {}
  // The same kernels with an observer of every call. `observer` must outlive the returned Ops. RepeatedWork of the
  // returned Ops is never recorded, so the observer sees every call.
  Ops observed_by(OpObserver& observer) const;

  DType compute_dtype() const { return kernels_->compute_dtype(); }
  DType statistics_dtype() const { return kernels_->statistics_dtype(); }
  // The memory that holds the tensors of these ops.
  Memory& memory() { return kernels_->memory(); }
  // Waits until all queued work is done.
  void synchronize() { kernels_->synchronize(); }
  std::unique_ptr<RepeatedWork> make_repeated_work();
  // Number of logits that the LM head should hold at a time: enough to keep its products efficient.
  int64_t logit_elements() const { return kernels_->logit_elements(); }
  // Bytes of memory() that these ops keep for their own work as long as they exist.
  int64_t workspace_bytes() const { return kernels_->workspace_bytes(); }
  // The text for the startup summary: "CPU, 2 threads, built-in products".
  std::string describe() const { return kernels_->describe(); }
  const Kernels& kernels() const { return *kernels_; }

  // The number of elements of x that are infinite or not a number.
  int64_t count_nonfinite(const Tensor& x) { return kernels_->count_nonfinite(x); }

#define OP(name, ...)                                                      \
  template <typename... Arguments>                                         \
  void name(const Arguments&... arguments) {                               \
    call(OpId::name, &Kernels::name, std::forward_as_tuple(arguments...)); \
  }
#include "kernels/ops.inc"

 private:
  template <typename... Parameters, typename... Arguments>
  void call(OpId op, void (Kernels::*method)(Parameters...), const std::tuple<Arguments...>& arguments) {
    static_assert(sizeof...(Arguments) <= sizeof...(Parameters), "too many arguments");
    call(op, method, arguments, std::index_sequence_for<Parameters...>{});
  }
  template <typename... Parameters, typename... Arguments, size_t... I>
  void call(OpId op, void (Kernels::*method)(Parameters...), const std::tuple<Arguments...>& arguments,
            std::index_sequence<I...>) {
    run(op, method, argument_or_default<Parameters, I>(arguments)...);
  }
  template <typename Parameter, size_t I, typename... Arguments>
  static Parameter argument_or_default(const std::tuple<Arguments...>& arguments) {
    if constexpr (I < sizeof...(Arguments)) {
      return std::get<I>(arguments);
    } else {
      static const std::remove_cvref_t<Parameter> absent{};
      return absent;
    }
  }
  template <typename... Parameters>
  void run(OpId op, void (Kernels::*method)(Parameters...), std::type_identity_t<Parameters>... parameters) {
    OpCall call(op, *kernels_);
    (call.take(parameters), ...);
    call.check();
    if (observer_) observer_->before(call);
    ((*kernels_).*method)(parameters...);
    if (observer_) observer_->after(call);
  }

  std::shared_ptr<Kernels> kernels_;
  OpObserver* observer_ = nullptr;
};

// The CPU's ops over float; threads = 0 uses OpenMP's default. If `products` is bf16, the matrix products of dense
// layers, experts, the LM head and attention (except to a cache) round their operands to bf16 and sum in float;
// everything else, including storage, stays float.
std::unique_ptr<Ops> make_cpu_ops(int threads = 0, DType products = DType::f32);
// Whether this CPU has instructions for bf16 products, AVX512-BF16 or AMX, and this build may use them.
bool cpu_multiplies_bf16_faster();
// The same sources compiled for double, for finite-difference tests only (library gptmoe_kernels_cpu_f64).
std::unique_ptr<Ops> make_cpu_ops_f64(int threads = 0);
// The values of logit_elements(). On a CPU, that number of logits stays in the cache; on a GPU, it fills the
// multiprocessors and takes a small part of the memory.
constexpr int64_t kCpuLogitElements = int64_t{1} << 20, kCudaLogitElements = int64_t{1} << 29;

// The GPU functions. In a build without CUDA, why_no_cuda() says so, make_cuda_ops() throws that text as a Failure, and
// the others do nothing or return what their comment says for a machine without a GPU.
//
struct CudaOptions {
  bool graphs = true;   // replay RepeatedWork as CUDA graphs
  bool hopper = false;  // run Hopper's kernel of each op that has one; needs an empty why_no_hopper()
};
// The current GPU's ops; compute is f32 or bf16.
std::unique_ptr<Ops> make_cuda_ops(DType compute, const CudaOptions& options = {});
// Why make_cuda_ops() would fail on this machine, in one line with the remedy; empty if it would not.
std::string why_no_cuda();
// Why the current GPU or this build cannot run Hopper's kernels, in one line; empty if both can. Hopper's kernels use
// instructions that only compute capability 9.0 has (kernels/cuda/hopper).
std::string why_no_hopper();
// The widest attention head that this machine's GPU supports; without a GPU, the widest that any GPU supports.
int64_t cuda_widest_head();
// Sets the calling thread's current device, for rank local_rank of the local_size ranks on this machine. If the process
// sees several GPUs, the device is GPU number local_rank; throws UserError if there are fewer GPUs than ranks. If the
// process sees only one GPU, the device is that GPU, which another rank may use too. Does nothing if there is no GPU.
// Call it before the other functions, which would initialise the first GPU.
void use_cuda_device(int local_rank, int local_size);
// Identifies the current device among all devices of all machines; empty in a build without CUDA.
std::string cuda_device_id();

}  // namespace gptmoe
