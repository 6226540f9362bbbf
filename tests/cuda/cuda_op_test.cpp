// Runs every OpCase on the CUDA backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cuda/device.h"
#include "cuda/worst_errors.h"
#include "op_cases/case_run.h"
#include "ops/backends.h"

namespace gptmoe {
namespace {

Ops& cuda_ops(DType compute) {
  static const auto f32 = make_cuda_ops(DType::f32), bf16 = make_cuda_ops(DType::bf16);
  return compute == DType::f32 ? *f32 : *bf16;
}

class CudaOp : public testing::TestWithParam<std::tuple<OpCase, DType>> {
 protected:
  ~CudaOp() override { reorder_execution(1); }

  const OpCase& op() const { return std::get<0>(GetParam()); }
  DType compute() const { return std::get<1>(GetParam()); }
};

// Three promises of an op, in two runs of its case.
// Agreement with the CPU in f64 on the same inputs: the CPU's backward starts from the rounded outputs of the CUDA
// forward, so the errors of the forward do not carry over to the backward.
// Outputs are overwritten whatever they held before, and nothing else is written.
// The second run, with another order of blocks and threads, gives the same bits.
TEST_P(CudaOp, AgreesWithTheCpuWritesOnlyItsOutputsAndGivesTheSameBitsInAnyOrder) {
  CaseRun got(op(), cuda_ops(compute()), Garbage::nan, compute()),
      expected(op(), double_ops(1), Garbage::nan, compute()),
      again(op(), cuda_ops(compute()), Garbage::large, compute());
  const double tolerance = compute() == DType::f32 ? op().tolerance : op().bf16_tolerance;
  double largest = 0;
  const auto expect_within = [&](const Difference& worst) {
    EXPECT_LE(worst.error, tolerance) << worst.where;
    largest = std::max(largest, worst.error);
  };
  reorder_execution(1);
  got.forward();
  expected.forward();
  for (const TensorSpec& spec : op().tensors) {
    // An output that is still NaN after the forward is one that the backward writes.
    if (spec.role != Role::output || std::isnan(expected.read(spec.name).front())) continue;
    const std::vector<double> values = got.read(spec.name);
    const bool exact = spec.exact || spec.kind == Kind::i32 || spec.kind == Kind::i64;
    expect_within(worst_difference(spec.name, values, expected.read(spec.name), exact));
    expected.write(spec.name, values);
  }
  got.backward();
  expected.backward();
  expect_within(worst_difference(got, expected));
  record_error(op().name, compute(), tolerance, largest);

  reorder_execution(2);
  again.forward();
  again.backward();
  for (CaseRun* run : {&got, &again})
    for (const std::string& broken : run->broken_promises()) ADD_FAILURE() << broken;
  for (const TensorSpec& spec : op().tensors) {
    if (!spec.written()) continue;
    EXPECT_TRUE(got.same_bits(again, spec.name)) << spec.name << " depends on the order";
  }
}

std::string case_name(const testing::TestParamInfo<std::tuple<OpCase, DType>>& info) {
  return std::get<0>(info.param).name + "_" + dtype_name(std::get<1>(info.param));
}
INSTANTIATE_TEST_SUITE_P(Ops, CudaOp,
                         testing::Combine(testing::ValuesIn(op_cases().tests),
                                          testing::Values(DType::f32, DType::bf16)),
                         case_name);

}  // namespace
}  // namespace gptmoe
