// The bytes of `gptmoe bench ops` and those of the account of a step are the same.
#include <gtest/gtest.h>

#include "bench/timed_ops.h"
#include "kernels/cuda_limits.h"
#include "op_cases/case_cost.h"
#include "op_cases/case_run.h"

namespace gptmoe {
namespace {

double live_share(const OpCase& op) {
  for (const TensorSpec& spec : op.tensors)
    if (spec.live >= 0) return static_cast<double>(spec.live) / static_cast<double>(spec.count());
  return 1;
}

struct Timed {
  double flops = 0, bytes = 0;
  int64_t calls = 0;
};
Timed timed(const OpCase& op, const OpPass& pass, Ops& ops) {
  TimedOps timed_ops(ops, live_share(op));
  pass(timed_ops, UncommittedTensors(op, ops));
  Timed sum;
  for (const auto& [key, total] : timed_ops.take_totals())
    sum.flops += total.flops, sum.bytes += total.bytes, sum.calls += total.calls;
  return sum;
}

// A pass of several ops reads some operands more than once, and what one op leaves to the next passes through memory:
// TimedOps, which knows the ops alone, counts these once more each time they are listed here, a case never.
std::vector<std::string> counted_again(const OpCase& op, bool backward) {
  const bool gathered = op.op.ends_with("_gathered");
  if (op.op.starts_with("grouped_swiglu_backward"))
    return backward ? std::vector<std::string>{"dy", "a", "offsets"} : std::vector<std::string>{"a", "a"};
  if (!backward) return {};
  if (op.op.starts_with("linear")) return {"dy"};
  if (op.op.starts_with("grouped_linear") && !gathered) return {"dy", "offsets"};
  if (op.op.starts_with("grouped_linear")) return {"dy", "offsets", "sorted_dx", "sorted_dx"};
  if (op.op.starts_with("grouped_swiglu"))
    return {"gradient_of_h", "gradient_of_h", "gradient_of_h", "sorted_dx", "sorted_dx", "offsets"};
  return {};
}

void expect_same_cost(const OpCase& op, bool backward, Ops& ops) {
  SCOPED_TRACE(op.name + (backward ? " backward" : " forward"));
  const PassCost cost = backward ? backward_cost(op, ops) : forward_cost(op, ops);
  const Timed expected = timed(op, backward ? op.backward : op.forward, ops);
  const std::vector<std::string> again = counted_again(op, backward);
  EXPECT_EQ(expected.calls > 1, !again.empty());
  double bytes = cost.bytes;
  for (const std::string& name : again) {
    const TensorSpec& spec = *op.find(name);
    bytes += static_cast<double>(spec.count() * dtype_bytes(dtype_of(spec.kind, ops)));
  }
  EXPECT_EQ(cost.flops, expected.flops);
  EXPECT_DOUBLE_EQ(bytes, expected.bytes);
}

TEST(OpBytes, OfEveryBenchmarkAreThoseOfTheAccount) {
  PlanOps cpu(DType::f32, DType::f32, 1 << 20, 0), gpu(DType::bf16, DType::f32, kCudaLogitElements, 0);
  for (const auto& [cases, ops] :
       {std::pair<const std::vector<OpCase>&, Ops&>{op_cases().benchmarks, cpu}, {op_cases().gpu_benchmarks, gpu}}) {
    for (const OpCase& op : cases) {
      expect_same_cost(op, false, ops);
      if (op.backward) expect_same_cost(op, true, ops);
    }
  }
}

// The two above could be wrong alike.
TEST(OpBytes, AreOfWhatIsReachedAndOfNoScratch) {
  PlanOps ops(DType::f32, DType::f32, 1 << 20, 0);
  const auto find = [](std::string_view name) -> const OpCase& {
    for (const OpCase& op : op_cases().benchmarks)
      if (op.name == name) return op;
    throw std::out_of_range(std::string(name));
  };
  // 8 of 12 heads, read and written, and two tables.
  const double turned = 2 * 4.0 * 16 * 256 * 8 * 64, tables = 2 * 4.0 * 256 * 32;
  EXPECT_EQ(forward_cost(find("rope_16x256x4x4x64"), ops).bytes, turned + tables);
  EXPECT_EQ(backward_cost(find("rope_16x256x4x4x64"), ops).bytes, turned + tables);
  // Losses and targets, x and w.
  EXPECT_EQ(forward_cost(find("lm_head_loss_4096x256x2048x512"), ops).bytes,
            4.0 * (4096 + 4096 + 4096 * 256 + 2048 * 256));
  EXPECT_EQ(forward_cost(find("zero_4194304_stat"), ops).bytes, 4.0 * 4194304);
  // dprobs, dgates and ids.
  EXPECT_EQ(backward_cost(find("topk_4096x4x32"), ops).bytes, 4.0 * 4096 * (32 + 4 + 4));
}

}  // namespace
}  // namespace gptmoe
