#pragma once
// Everything the model computes, as one interface with one implementation per device.
//
// Letters: B sequences in a micro-batch, T tokens in a sequence, N = B*T, C model width, H query heads, G key/value
// heads, S = H + 2G packed heads (queries, keys, values), D head size, V vocabulary, E experts, K experts per token,
// F hidden width of an FFN, R = N*K routed rows, I and O widths of a linear layer.
//
// Conventions, for every method of the three families:
//   * Outputs come first; "=" says an output is overwritten, "+=" that it is added to.
//   * Tensors are contiguous. "real" is compute_dtype(); "stat" is statistics_dtype() (router, losses, norms'
//     statistics, optimizer); ids are i32, offsets i64. Unless said otherwise a tensor is real.
//   * Outputs do not alias inputs unless the declaration allows it.
//   * Deterministic: the same inputs give the same bits on the same machine, build and thread count.
//   * A wrong shape or dtype throws BugError; values (token ids, offsets) are trusted, their producers check them.
//   * An absent Tensor (Tensor{}) leaves an optional operand out.
#include <functional>
#include <memory>

#include "base/memory.h"
#include "kernels/ops_dense.h"
#include "kernels/ops_moe.h"
#include "kernels/ops_optim.h"

namespace gptmoe {

// Work that is asked for again and again, on the same tensors and with the same numbers. It copies nothing to or from
// the host. This one just does it; a backend may record it instead and replay it whole.
class Recurring {
 public:
  virtual ~Recurring() = default;
  virtual void run(const std::function<void()>& work) { work(); }
};

class Ops : public DenseOps, public MoeOps, public OptimOps {
 public:
  virtual DType compute_dtype() const = 0;
  virtual DType statistics_dtype() const = 0;
  // Where the tensors of these ops live.
  virtual Memory& memory() = 0;
  // Waits until everything asked for so far is done.
  virtual void synchronize() = 0;
  virtual std::unique_ptr<Recurring> make_recurring() { return std::make_unique<Recurring>(); }
  // How many logits the LM head best holds at a time: enough to keep its products efficient.
  virtual int64_t logit_elements() const = 0;
  // Bytes of memory() that these ops hold themselves, from their making to their end.
  virtual int64_t workspace_bytes() const = 0;
  // For the first screen: "CPU, 2 threads, built-in products".
  virtual std::string describe() const = 0;
};

// The CPU backend over float; threads = 0 takes OpenMP's default. With bf16 `products`, those of dense layers, experts
// and the LM head round their operands to bf16 and sum in float; everything else, and all that is stored, stays float.
std::unique_ptr<Ops> make_cpu_ops(int threads = 0, DType products = DType::f32);
// The same sources over double, for finite-difference tests only (library gptmoe_kernels_cpu_f64).
std::unique_ptr<Ops> make_cpu_ops_f64(int threads = 0);
// What logit_elements() is: few enough to stay in a CPU's cache, or to fill a GPU's multiprocessors with a chunk's rows
// while the chunk is a small part of its memory.
constexpr int64_t kCpuLogitElements = int64_t{1} << 20, kCudaLogitElements = int64_t{1} << 29;

// The CUDA backend on the current device; compute is f32 or bf16. With `graphs` it replays recurring work as CUDA
// graphs. Only in builds with CUDA.
std::unique_ptr<Ops> make_cuda_ops(DType compute, bool graphs = true);
// Why make_cuda_ops() would fail on this machine, in one line with the remedy; empty when it would not. Likewise.
std::string why_no_cuda();
// The widest attention head that this machine's GPU takes. Likewise.
int64_t cuda_widest_head();
// Makes the GPU of one of `local_size` ranks on this machine the calling thread's current device: the local_rank'th, or
// the only one that this process is shown, which may be another rank's too. To be called before all else here, which
// would begin to use the first GPU. Nothing where no GPU is found. Throws UserError where ranks outnumber GPUs.
// Likewise.
void use_cuda_device(int local_rank, int local_size);
// What tells the current device from all others, on any machine. Likewise.
std::string cuda_device_id();

}  // namespace gptmoe
