#pragma once
// The bare kernels of one device, which implement the ops. Only class Ops (kernels/ops.h) calls them, after it has
// checked the operands. A tensor's values (token ids, offsets) are trusted.
#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <string>

#include "base/memory.h"
#include "base/tensor.h"

namespace gptmoe {

// Whether a matrix product overwrites its output or adds to it.
enum class Write { assign, add };

// The divisor that turns the sum of an expert's weighted outputs into their mean.
enum class Divisor { rows, gates };

// AdamW's constants (Loshchilov & Hutter 2019).
struct AdamwConstants {
  double beta1 = 0, beta2 = 0, eps = 0, weight_decay = 0;
  double learning_rate_scale = 1;  // multiplies the rates of the step
};

// The numbers of an AdamW update that change from step to step. They are passed as a tensor, rates_3 (stat), so that a
// recorded update can be replayed at the next step.
inline std::array<double, 3> adamw_rates(double learning_rate, const AdamwConstants& constants, int64_t step) {
  const auto t = static_cast<double>(step);  // counts from 1
  return {learning_rate, learning_rate / (1 - std::pow(constants.beta1, t)), 1 / (1 - std::pow(constants.beta2, t))};
}

// Work that runs repeatedly, on the same tensors and with the same scalar arguments, and that copies nothing to or from
// the host. This class just runs the work; a device may record the work and replay it whole.
class RepeatedWork {
 public:
  virtual ~RepeatedWork() = default;
  virtual void run(const std::function<void()>& work) { work(); }
};

class Kernels {
 public:
  virtual ~Kernels() = default;

  virtual DType compute_dtype() const = 0;
  virtual DType statistics_dtype() const = 0;
  virtual Memory& memory() = 0;
  virtual void synchronize() = 0;
  virtual std::unique_ptr<RepeatedWork> make_repeated_work() { return std::make_unique<RepeatedWork>(); }
  virtual int64_t logit_elements() const = 0;
  virtual int64_t workspace_bytes() const = 0;
  virtual std::string describe() const = 0;
  virtual int64_t count_nonfinite(const Tensor& x) = 0;

  // The types that declarations of ops use. To the compiler they are all the same type; op_declaration.h says what each
  // means.
  using Out = const Tensor&;
  using OutStat = Out;
  using OutFloat = Out;
  using OutI32 = Out;
  using OutI64 = Out;
  using OutU8 = Out;
  using OutAny = Out;
  using OptionalOut = Out;
  using Add = Out;
  using AddStat = Out;
  using OptionalAddStat = Out;
  using Update = Out;
  using UpdateStat = Out;
  using UpdateI64 = Out;
  using OptionalUpdateStat = Out;
  using OptionalOutStat = Out;
  using UpdateFloat = Out;
  using Scratch = Out;
  using In = Out;
  using InStat = Out;
  using InFloat = Out;
  using InI32 = Out;
  using InI64 = Out;
  using InU8 = Out;
  using InAny = Out;
  using OptionalInStat = Out;
  using OptionalInI32 = Out;
  using OptionalInI64 = Out;

#define OP(name, ...) virtual void name(__VA_ARGS__) = 0;
#include "kernels/ops.inc"
};

}  // namespace gptmoe
